import { KubetunError } from '../../datapath/error.ts';
import type { ImageChange } from '../../datapath/image/image.ts';
import type { PolicySurvivors } from '../../datapath/image/policy-reader.ts';
import type { PolicyChange } from '../../datapath/policy/policy.ts';
import type { Steps } from '../../datapath/steps.ts';
import type { MonotonicClock } from '../clock.ts';
import { Compiler, type Refusal } from '../compile/compiler.ts';
import { IdAllocator, type IdUsage } from '../compile/ids.ts';
import type { NodeRanges } from '../compile/node-entry.ts';
import type { Log } from '../log.ts';
import type { PolicyChanges } from '../model/policy-tables.ts';
import type { Changes, Tables } from '../model/tables.ts';
import { PolicyCompiler } from '../policy/compiler.ts';
import { Pacer, SlicedWork } from './pacer.ts';

/** A burst of changes is published at this pace. */
const PUBLISH_MS = 20;
/**
 * Attempts to find out how many Services fit, where the prices of the compiler were too low; each
 * asks for less.
 */
const FIT_TRIES_MAX = 12;
const FIT_SHARE = 0.75;
/** When the datapath is still leaving the memory that a publish needs. */
const RETRY_MS = 50;

/** Where images go; `engine.writer` is one. */
export interface ImageSink extends IdUsage {
  readonly generation: number;
  /** Puts a change in force; its generation. */
  publish(change: ImageChange): number;
  /** Words that Services may take beside everything else; absent where there is no such limit. */
  roomForServices?(): number;
  /** Service ids of an image that outlived its agent. */
  services(): Map<number, { name: string }>;
  /** NetworkPolicy of such an image. */
  policySurvivors(): PolicySurvivors;
  /** Does ahead what a publish would make of a change of policies; absent where that is nothing. */
  encodePolicy?(change: PolicyChange): Steps<void>;
}

/** How far a node's publisher is. Times are of one clock, in ms. */
export interface Progress {
  /** When the oldest change came that is not in force; null if none waits. */
  pendingSinceMs: number | null;
  /** When the tables were last found to be in force; null before the first image. */
  updatedMs: number | null;
}

export interface PublisherOptions {
  nodeName: string;
  ranges: NodeRanges;
  tables: Tables;
  sink: ImageSink;
  /** All of them must have synced before anything is published. */
  sources: string[];
  /** Called around a publish, with the same change and the tables that it was compiled from. */
  around?: (change: ImageChange, tables: Tables) => { before(): void; after(): void };
  /** Addresses at which the agent reaches the API server. */
  apiAddresses?: readonly number[];
  /** Told after every run what is not served. */
  onRefusals?: (refusals: Refusal[]) => void;
  /** Called at the end of every run, also of one that had nothing to say. */
  onRun?: () => void;
  clock: MonotonicClock;
  log: Log;
}

const NO_CHANGES: Changes = { services: new Set(), nodes: false };
const NO_CHANGE: ImageChange = {
  node: null,
  upsert: [],
  remove: [],
  addFrontends: [],
  removeFrontends: [],
};

/**
 * Brings changes of the tables into force. Until then, and when there is nothing to say, the last
 * image stays.
 */
export class Publisher {
  readonly compiler: Compiler;
  readonly #policyCompiler: PolicyCompiler;
  readonly #policyWork: SlicedWork<PolicyChange | null>;
  readonly #options: PublisherOptions;
  readonly #pacer: Pacer;
  readonly #skipped = new Map<string, ReadonlyMap<string, string>>();
  readonly #waiting: Set<string>;
  /** The sink took a change in but could not put it in force. */
  #due = false;
  /** Share of its room that Services may take. */
  #share = 1;
  #published = false;
  #nodeAwaited = false;
  #pendingSinceMs: number | null = null;
  #updatedMs: number | null = null;
  #cancelRetry: (() => void) | null = null;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#waiting = new Set(options.sources);
    const ids = new IdAllocator(options.sink.services(), options.sink);
    this.compiler = new Compiler(options.nodeName, options.ranges, ids, options.apiAddresses);
    this.#policyCompiler = new PolicyCompiler(options.sink.policySurvivors());
    this.#pacer = new Pacer(options.clock, PUBLISH_MS, () => this.#run());
    this.#policyWork = new SlicedWork(options.clock, () => this.#pacer.request());
  }

  /** Objects that are not served, or not as they are written. */
  refusals(): Refusal[] {
    const message =
      'its rules do not fit beside those of older policies: the pods that it selects are isolated';
    const policies = this.#policyCompiler.refused.map((key): Refusal => {
      return { kind: 'NetworkPolicy', key, reason: 'DoesNotFit', message };
    });
    return [...this.compiler.refusals(), ...policies];
  }

  /** True once every source has said all that it knew. */
  get synced(): boolean {
    return this.#waiting.size === 0;
  }

  /** True once this process has put an image in force. */
  get published(): boolean {
    return this.#published;
  }

  get progress(): Progress {
    return { pendingSinceMs: this.#pendingSinceMs, updatedMs: this.#updatedMs };
  }

  /**
   * Another source is needed from now on. Before the first image everything waits for it; later
   * only what is said of policies does, which it is for.
   */
  sourceAdded(source: string): void {
    this.#waiting.add(source);
  }

  /**
   * @param skipped objects of the kind whose latest version cannot be taken -> why; the informer
   * keeps it.
   */
  sourceStarted(source: string, skipped: ReadonlyMap<string, string>): void {
    this.#skipped.set(source, skipped);
  }

  /** Objects whose latest version is not in the tables, as `Kind namespace/name` -> why. */
  skipped(): Record<string, string> {
    const rows = [...this.#skipped].flatMap(([kind, objects]) =>
      [...objects].map(([key, why]) => [`${kind} ${key}`, why]),
    );
    return Object.fromEntries(rows);
  }

  sourceSynced(source: string): void {
    this.#waiting.delete(source);
    if (this.synced) this.#pacer.request();
  }

  /** The tables have changed. */
  changed(): void {
    this.#pendingSinceMs ??= this.#options.clock.monotonicMs();
    if (this.synced || this.#published) this.#pacer.request();
  }

  stop(): void {
    this.#pacer.stop();
    this.#policyWork.stop();
    this.#cancelRetry?.();
  }

  #run(): void {
    this.#publish();
    const { tables, onRun, clock } = this.#options;
    const isWorking = this.#due || this.#policyWork.isBusy;
    if (this.#published && tables.clean && tables.policy.clean && !isWorking) {
      this.#pendingSinceMs = null;
      this.#updatedMs = clock.monotonicMs();
    }
    if (this.#published) this.#options.onRefusals?.(this.refusals());
    onRun?.();
  }

  #publish(): void {
    const { tables, sink, log, clock } = this.#options;
    if (!this.#nodeKnown()) return;
    const startedMs = clock.monotonicMs();
    const policy = this.#compilePolicies();
    // Without the policies that there are, the first image would let pass what they forbid.
    if (!this.#published && this.#policyWork.isBusy) return;
    const room = this.#roomForServices();
    const isOtherRoom = room !== this.compiler.wordsMax;
    this.compiler.wordsMax = room;
    const result =
      tables.clean && !isOtherRoom
        ? null
        : this.compiler.compile(tables, tables.takeChanges(), sink.generation + 1);
    for (const conflict of result?.conflicts ?? []) {
      log.warn(conflict, 'one address and port is claimed by several Services');
    }
    if (!result && !policy && !this.#due) return;
    let change: ImageChange = { ...(result?.change ?? NO_CHANGE), policy };
    for (let tries = 0; tries < FIT_TRIES_MAX; tries++) {
      const failure = this.#send(change, startedMs);
      if (failure === null) return;
      if (failure.code !== 'KT_IMAGE_FULL') return this.#retry(failure);
      this.#share *= FIT_SHARE;
      this.compiler.wordsMax = this.#roomForServices();
      const less = this.compiler.compile(tables, NO_CHANGES, sink.generation + 1);
      change = less?.change ?? NO_CHANGE;
    }
    log.error({}, 'the image is full, though no Service is in it');
  }

  #retry({ code, next, message }: KubetunError): void {
    const { log, clock } = this.#options;
    log.error({ code, next }, message);
    this.#cancelRetry = clock.after(RETRY_MS, () => this.#pacer.request());
  }

  /** The sink's word, and less as long as that was too much for the Services that there are. */
  #roomForServices(): number {
    const room = this.#options.sink.roomForServices?.() ?? Number.POSITIVE_INFINITY;
    if (!this.compiler.isCrowded) this.#share = this.#share < 1 && this.#due ? this.#share : 1;
    return Math.floor(room * this.#share);
  }

  /**
   * What policies change, or null while nothing does or the work on it goes on. Half of what they
   * speak of would let pass what the other half forbids: all sources must have synced.
   */
  #compilePolicies(): PolicyChange | null {
    const { policy } = this.#options.tables;
    const isDue = this.synced && (!this.#published || !policy.clean);
    if (isDue && !this.#policyWork.isBusy) {
      this.#policyWork.start(this.#policySteps(policy.takeChanges()));
    }
    const change = this.#policyWork.take();
    // What has changed since that work began is for the next run.
    const isLeft = this.synced && !policy.clean && !this.#policyWork.isBusy;
    if (isLeft) this.#pacer.request();
    return change;
  }

  *#policySteps(changes: PolicyChanges): Steps<PolicyChange | null> {
    const { tables, sink } = this.#options;
    const change = yield* this.#policyCompiler.compileInSteps(tables.policy, changes);
    if (change) yield* sink.encodePolicy?.(change) ?? [];
    return change;
  }

  /** Publishes a change; what stands in the way, or null. */
  #send(change: ImageChange, startedMs: number): KubetunError | null {
    const { sink, tables, log, clock } = this.#options;
    // Whatever happens the sink has the change now; only its coming into force can fail.
    this.#due = true;
    const around = this.#options.around?.(change, tables);
    around?.before();
    try {
      const generation = sink.publish(change);
      this.#due = false;
      const first = !this.#published;
      this.#published = true;
      log.info(
        {
          generation,
          services: change.upsert.length,
          removed: change.remove.length,
          frontends: change.addFrontends.length,
          ...(change.policy ? { policies: policyNews(change.policy) } : {}),
          ms: Math.round((clock.monotonicMs() - startedMs) * 1000) / 1000,
        },
        first ? 'first image published' : 'published',
      );
      return null;
    } catch (error) {
      if (!(error instanceof KubetunError)) throw error;
      return error;
    } finally {
      around?.after();
    }
  }

  /** Nothing can be said of a node whose address the cluster does not know yet. */
  #nodeKnown(): boolean {
    const { tables, nodeName, log } = this.#options;
    if (this.#published || this.#due) return true;
    if (tables.nodes.get(nodeName)?.addresses[0] !== undefined) return true;
    if (!this.#nodeAwaited) log.warn({}, `Node ${nodeName} has no InternalIP yet: waiting for it`);
    this.#nodeAwaited = true;
    return false;
  }
}

function policyNews({ generation, active, pods, podChanges, rules }: PolicyChange) {
  const changed = podChanges && podChanges.put.length + podChanges.gone.length;
  return { generation, active, pods: pods?.length ?? changed, pairs: rules?.pairs.length };
}
