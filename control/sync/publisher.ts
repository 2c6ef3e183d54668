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

/** Shortest time between two publishes. */
const PUBLISH_MS = 20;
/**
 * Attempts to fit Services when the compiler's cost estimates were too low. Each attempt allows
 * less room.
 */
const FIT_TRIES_MAX = 12;
const FIT_SHARE = 0.75;
/** Wait while the worker still uses the memory that a publish needs. */
const RETRY_MS = 50;

/** Destination of images, such as `engine.writer`. */
export interface ImageSink extends IdUsage {
  readonly generation: number;
  /** Puts a change in force and returns its generation. */
  publish(change: ImageChange): number;
  /** Words that Services may take beside everything else. Absent without a limit. */
  roomForServices?(): number;
  /** Service ids of an image that was there before this agent. */
  services(): Map<number, { name: string }>;
  /** NetworkPolicies of such an image. */
  policySurvivors(): PolicySurvivors;
  /** Encodes a policy change before its publish. Absent if there is nothing to encode. */
  encodePolicy?(change: PolicyChange): Steps<void>;
}

/** Progress of a node's publisher. Times are monotonic, in ms. */
export interface Progress {
  /** Arrival of the oldest change that is not in force; null if there is none. */
  pendingSinceMs: number | null;
  /** Last time the tables were completely in force; null before the first image. */
  updatedMs: number | null;
}

export interface PublisherOptions {
  nodeName: string;
  ranges: NodeRanges;
  tables: Tables;
  sink: ImageSink;
  /** Sources that must sync before the first publish. */
  sources: string[];
  /** Called before and after a publish, with its change and tables. */
  around?: (change: ImageChange, tables: Tables) => { before(): void; after(): void };
  /** Addresses of the API server. */
  apiAddresses?: readonly number[];
  /** Called after every run with all present refusals. */
  onRefusals?: (refusals: Refusal[]) => void;
  /** Called at the end of every run, even without a change. */
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
 * Publishes changes of the tables. Until the first publish, and without changes, the last image
 * stays in force.
 */
export class Publisher {
  readonly compiler: Compiler;
  readonly #policyCompiler: PolicyCompiler;
  readonly #policyWork: SlicedWork<PolicyChange | null>;
  readonly #options: PublisherOptions;
  readonly #pacer: Pacer;
  readonly #skipped = new Map<string, ReadonlyMap<string, string>>();
  readonly #waiting: Set<string>;
  /** The sink has a change that is not in force yet. */
  #due = false;
  /** Share of the sink's room that Services may take. */
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

  /** Objects that are not served, or only in part. */
  refusals(): Refusal[] {
    const message =
      'its rules do not fit beside those of older policies: the pods that it selects are isolated';
    const policies = this.#policyCompiler.refused.map((key): Refusal => {
      return { kind: 'NetworkPolicy', key, reason: 'DoesNotFit', message };
    });
    return [...this.compiler.refusals(), ...policies];
  }

  /** True once every source has synced. */
  get synced(): boolean {
    return this.#waiting.size === 0;
  }

  /** True once this process has published an image. */
  get published(): boolean {
    return this.#published;
  }

  get progress(): Progress {
    return { pendingSinceMs: this.#pendingSinceMs, updatedMs: this.#updatedMs };
  }

  /** Adds a source. Before the first image everything waits for it; later only policies do. */
  sourceAdded(source: string): void {
    this.#waiting.add(source);
  }

  /**
   * @param skipped objects whose latest version is invalid -> reason. The informer keeps the map.
   */
  sourceStarted(source: string, skipped: ReadonlyMap<string, string>): void {
    this.#skipped.set(source, skipped);
  }

  /** Objects whose latest version is not in the tables: `Kind namespace/name` -> reason. */
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

  /** Call it when the tables have changed. */
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
    // The first image needs the policies, or it would forward what they forbid.
    if (!this.#published && this.#policyWork.isBusy) return;
    const room = this.#roomForServices();
    const isOtherRoom = room !== this.compiler.wordsMax;
    this.compiler.wordsMax = room;
    const result =
      tables.clean && !isOtherRoom
        ? null
        : this.compiler.compile(tables, tables.takeChanges(), sink.generation + 1);
    for (const conflict of result?.conflicts ?? []) {
      log.warn(conflict, 'several Services claim one address and port');
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
    log.error({}, 'the image is full even without Services');
  }

  #retry({ code, next, message }: KubetunError): void {
    const { log, clock } = this.#options;
    log.error({ code, next }, message);
    this.#cancelRetry = clock.after(RETRY_MS, () => this.#pacer.request());
  }

  /** The sink's room, reduced while the Services that were admitted did not fit. */
  #roomForServices(): number {
    const room = this.#options.sink.roomForServices?.() ?? Number.POSITIVE_INFINITY;
    if (!this.compiler.isCrowded) this.#share = this.#share < 1 && this.#due ? this.#share : 1;
    return Math.floor(room * this.#share);
  }

  /**
   * The change of policies, or null without one or while it is being compiled. All sources must
   * have synced: with half of the objects, forbidden packets could pass.
   */
  #compilePolicies(): PolicyChange | null {
    const { policy } = this.#options.tables;
    const isDue = this.synced && (!this.#published || !policy.clean);
    if (isDue && !this.#policyWork.isBusy) {
      this.#policyWork.start(this.#policySteps(policy.takeChanges()));
    }
    const change = this.#policyWork.take();
    // Changes since the start of that work belong to the next run.
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

  /** Publishes a change. Returns the error, or null. */
  #send(change: ImageChange, startedMs: number): KubetunError | null {
    const { sink, tables, log, clock } = this.#options;
    // The sink keeps the change even if putting it in force fails.
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

  /** An image needs the node's address. */
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
