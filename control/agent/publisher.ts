import { KubetunError } from '../../datapath/error.ts';
import type { ImageChange } from '../../datapath/nat/image.ts';
import type { PolicyChange } from '../../datapath/policy/policy.ts';
import type { PolicySurvivors } from '../../datapath/policy/policy-reader.ts';
import { Compiler } from '../compile/compiler.ts';
import { IdAllocator, type IdUsage } from '../compile/ids.ts';
import type { NodeRanges } from '../compile/node-entry.ts';
import type { Tables } from '../model/tables.ts';
import { PolicyCompiler } from '../policy/compiler.ts';
import type { Progress } from './health-answer.ts';
import { type Clock, Pacer } from './pacer.ts';

/** A burst of changes is published at this pace. */
const PUBLISH_MS = 20;
/** When the datapath is still leaving the memory that a publish needs. */
const RETRY_MS = 50;

/** Where images go; `engine.writer` is one. */
export interface ImageSink extends IdUsage {
  readonly generation: number;
  /** Puts a change in force; its generation. */
  publish(change: ImageChange): number;
  /** Service ids of an image that outlived its agent. */
  services(): Map<number, { name: string }>;
  /** NetworkPolicy of such an image. */
  policySurvivors(): PolicySurvivors;
}

/** Takes one line per notable event, with its particulars. */
export interface Log {
  info(particulars: object, message: string): void;
  warn(particulars: object, message: string): void;
  error(particulars: object, message: string): void;
}

export interface PublisherOptions {
  nodeName: string;
  ranges: NodeRanges;
  tables: Tables;
  sink: ImageSink;
  /** All of them must have synced before anything is published. */
  sources: string[];
  /** Called around a publish, with the same change. */
  around?: (change: ImageChange) => { before(): void; after(): void };
  /** Called at the end of every run, also of one that had nothing to say. */
  onRun?: () => void;
  clock: Clock;
  log: Log;
}

const NO_CHANGE: ImageChange = {
  node: null,
  upsert: [],
  remove: [],
  addFrontends: [],
  removeFrontends: [],
};

/** Brings changes of the tables into force. Until then, and when there is nothing to say, the last image stays. */
export class Publisher {
  readonly compiler: Compiler;
  readonly #policyCompiler: PolicyCompiler;
  readonly #options: PublisherOptions;
  readonly #pacer: Pacer;
  readonly #skipped = new Map<string, ReadonlyMap<string, string>>();
  readonly #waiting: Set<string>;
  /** The sink took a change in but could not put it in force. */
  #due = false;
  #published = false;
  #nodeAwaited = false;
  #pendingSinceMs: number | null = null;
  #updatedMs: number | null = null;
  #cancelRetry: (() => void) | null = null;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#waiting = new Set(options.sources);
    const ids = new IdAllocator(options.sink.services(), options.sink);
    this.compiler = new Compiler(options.nodeName, options.ranges, ids);
    this.#policyCompiler = new PolicyCompiler(options.sink.policySurvivors());
    this.#pacer = new Pacer(options.clock, PUBLISH_MS, () => this.#run());
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
   * Another source is needed from now on. Before the first image everything waits for it; later only what is said of
   * policies does, which it is for.
   */
  sourceAdded(source: string): void {
    this.#waiting.add(source);
  }

  /** @param skipped objects of the kind whose latest version cannot be taken -> why; the informer keeps it. */
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
    this.#pendingSinceMs ??= this.#options.clock.nowMs();
    if (this.synced || this.#published) this.#pacer.request();
  }

  stop(): void {
    this.#pacer.stop();
    this.#cancelRetry?.();
  }

  #run(): void {
    this.#publish();
    const { tables, onRun, clock } = this.#options;
    if (this.#published && tables.clean && tables.policy.clean && !this.#due) {
      this.#pendingSinceMs = null;
      this.#updatedMs = clock.nowMs();
    }
    onRun?.();
  }

  #publish(): void {
    const { tables, sink, log, clock } = this.#options;
    if (!this.#nodeKnown()) return;
    const startedMs = clock.nowMs();
    const generation = sink.generation + 1;
    const result = tables.clean
      ? null
      : this.compiler.compile(tables, tables.takeChanges(), generation);
    for (const conflict of result?.conflicts ?? []) {
      log.warn(conflict, 'one address and port is claimed by several Services');
    }
    if (result && result.unserved.length > 0) {
      log.error({ services: result.unserved.slice(0, 10) }, 'no Service id is left for these');
    }
    const policy = this.#compilePolicies();
    if (!result && !policy && !this.#due) return;
    this.#send({ ...(result?.change ?? NO_CHANGE), policy }, startedMs);
  }

  /** Half of what policies speak of would let pass what the other half forbids: all sources must have synced. */
  #compilePolicies(): PolicyChange | null {
    const { policy } = this.#options.tables;
    if (!this.synced || (this.#published && policy.clean)) return null;
    return this.#policyCompiler.compile(policy, policy.takeChanges());
  }

  #send(change: ImageChange, startedMs: number): void {
    const { sink, log, clock } = this.#options;
    // Whatever happens the sink has the change now; only its coming into force can fail.
    this.#due = true;
    const around = this.#options.around?.(change);
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
          ms: Math.round((clock.nowMs() - startedMs) * 1000) / 1000,
        },
        first ? 'first image published' : 'published',
      );
    } catch (error) {
      if (!(error instanceof KubetunError)) throw error;
      log.error({ code: error.code, next: error.next }, error.message);
      this.#cancelRetry = clock.after(RETRY_MS, () => this.#pacer.request());
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

function policyNews({ generation, active, pods, rules }: PolicyChange) {
  return { generation, active, pods: pods?.length, pairs: rules?.pairs.length };
}
