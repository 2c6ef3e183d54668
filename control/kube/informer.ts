import { setTimeout as sleep } from 'node:timers/promises';
import { Backoff } from '../../datapath/backoff.ts';
import type { KubeClient, KubeScope, KubeWatchEvent } from './client.ts';
import { decodeObject } from './decode.ts';
import { isGone } from './error.ts';
import type { KubeKind, KubeKinds } from './kinds.ts';

/** Objects per page of a list. A page becomes rows before the next request. */
const PAGE_OBJECTS = 1000;
/** The server ends a watch after 5 to 10 minutes, as for client-go. */
const WATCH_S_MIN = 300;
/** A watch without events that ends before this time counts as a failure. */
const WATCH_MS_USEFUL = 1000;

/** Delays and random source of an informer. Tests replace them. */
export interface InformerPacing {
  /** A watch that is silent for this time is renewed. */
  silenceMsMax: number;
  backoffMsMin: number;
  backoffMsMax: number;
  /** 0 to 1. */
  random: () => number;
}

const PACING_DEFAULT: InformerPacing = {
  silenceMsMax: 300_000,
  backoffMsMin: 100,
  backoffMsMax: 10_000,
  random: Math.random,
};

export interface InformerOptions<T, R> extends KubeScope {
  /**
   * Makes the row that the informer keeps and hands to the handlers. The default is the object
   * itself.
   */
  compact?: (object: T) => R;
  pacing?: Partial<InformerPacing>;
}

export interface InformerHandlers<R> {
  /** A new or changed object. `before` is null for a new one. */
  onUpsert(row: R, before: R | null, key: string): void;
  /** A deleted object, with its last row. */
  onDelete(row: R, key: string): void;
  /** Called once, after all initial objects. */
  onSynced(): void;
  /** A list or watch failed. The next try is after `retryMs`. */
  onError?(error: unknown, retryMs: number): void;
  /** A version of an object cannot be read, or a handler threw. The last good version stays. */
  onSkip(key: string, error: Error, object: object): void;
}

export interface Informer<R> {
  readonly synced: boolean;
  /** Key of each object whose latest version was skipped -> reason. */
  readonly skipped: ReadonlyMap<string, string>;
  /** The last row of a key (`namespace/name`, or `name`). */
  get(key: string): R | undefined;
  rows(): Iterable<R>;
  stop(): void;
}

/**
 * Keeps a local copy of a kind: lists once, then watches. The handlers get every change of an
 * object exactly once and in order. After a disconnect the watch continues from the last version.
 * After an expired version a new list is compared with the copy, and the handlers get the
 * differences, missed deletions included. A replaced object of the same name is a delete, then an
 * upsert. The informer retries failures for ever, with exponential back-off and jitter. It skips an
 * object that cannot be decoded, compacted or handled.
 */
export function startInformer<K extends KubeKind, R = KubeKinds[K]>(
  client: KubeClient,
  kind: K,
  options: InformerOptions<KubeKinds[K], R>,
  handlers: InformerHandlers<R>,
): Informer<R> {
  const reflector = new Reflector<K, R>(client, kind, options, handlers);
  void reflector.run();
  return reflector;
}

/** The known state of an object. */
interface Known<R> {
  uid: string;
  version: string;
  row: R;
}

class Reflector<K extends KubeKind, R> implements Informer<R> {
  synced = false;
  readonly skipped = new Map<string, string>();
  readonly #client: KubeClient;
  readonly #kind: K;
  readonly #scope: KubeScope;
  readonly #compact: (object: KubeKinds[K]) => R;
  readonly #handlers: InformerHandlers<R>;
  readonly #pacing: InformerPacing;
  readonly #known = new Map<string, Known<R>>();
  readonly #abort = new AbortController();
  readonly #backoff: Backoff;
  #version: string | null = null;
  /** The version has expired and no event has come since. */
  #expired = false;

  constructor(
    client: KubeClient,
    kind: K,
    options: InformerOptions<KubeKinds[K], R>,
    handlers: InformerHandlers<R>,
  ) {
    const { compact, pacing, ...scope } = options;
    this.#client = client;
    this.#kind = kind;
    this.#scope = scope;
    this.#compact = compact ?? ((object) => object as unknown as R);
    this.#handlers = handlers;
    this.#pacing = { ...PACING_DEFAULT, ...pacing };
    const { backoffMsMin: firstMs, backoffMsMax: msMax } = this.#pacing;
    this.#backoff = new Backoff({ firstMs, msMax });
  }

  get(key: string): R | undefined {
    return this.#known.get(key)?.row;
  }

  *rows(): Iterable<R> {
    for (const known of this.#known.values()) yield known.row;
  }

  stop(): void {
    this.#abort.abort();
  }

  async run(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      try {
        if (this.#version === null) await this.#list();
        await this.#watch();
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        const gone = isGone(error);
        if (gone) this.#version = null;
        // An expiry is normal after an outage, so the list follows at once. Repeated expiries
        // without an event back off like failures.
        const jittered = this.#backoff.next() * (0.5 + this.#pacing.random() / 2);
        const delay = gone && !this.#expired ? 0 : Math.round(jittered);
        if (gone) this.#expired = true;
        this.#handlers.onError?.(error, delay);
        // Ends early when the informer stops.
        await sleep(delay, null, { signal: this.#abort.signal }).catch(() => {});
      }
    }
  }

  /** Lists all objects, then calls the handlers for the differences. */
  async #list(): Promise<void> {
    const fresh = new Map<string, Known<R> | null>();
    let page = '';
    let version = '';
    do {
      const list = await this.#client.list(this.#kind, {
        ...this.#scope,
        limit: PAGE_OBJECTS,
        continue: page,
      });
      if (this.#abort.signal.aborted) return;
      for (const object of list.items) fresh.set(keyOf(object), this.#read(object));
      page = list.continue;
      version = list.resourceVersion;
    } while (page !== '');
    for (const [key, known] of [...this.#known]) {
      const found = fresh.get(key);
      // An unreadable object keeps its last good row.
      if (found !== null && found?.uid !== known.uid) this.#remove(key);
    }
    for (const key of [...this.skipped.keys()]) if (!fresh.has(key)) this.skipped.delete(key);
    for (const [key, known] of fresh) if (known) this.#upsert(key, known);
    this.#version = version;
    if (this.synced) return;
    this.synced = true;
    this.#handlers.onSynced();
  }

  async #watch(): Promise<void> {
    const { silenceMsMax, random } = this.#pacing;
    const startedMs = performance.now();
    let events = 0;
    await this.#client.watch(
      this.#kind,
      {
        ...this.#scope,
        resourceVersion: this.#version ?? '',
        timeoutS: Math.round(WATCH_S_MIN * (1 + random())),
        silenceMsMax,
        signal: this.#abort.signal,
      },
      (event) => {
        if (this.#abort.signal.aborted) return;
        events++;
        this.#backoff.reset();
        this.#expired = false;
        this.#take(event);
      },
    );
    const uselessly = events === 0 && performance.now() - startedMs < WATCH_MS_USEFUL;
    if (uselessly) throw new Error(`the watch of ${this.#kind} ended at once`);
  }

  #take({ type, object }: KubeWatchEvent<KubeKinds[K]>): void {
    const version = object?.metadata?.resourceVersion;
    if (type !== 'BOOKMARK') {
      const key = keyOf(object);
      if (type === 'DELETED') this.#remove(key);
      else {
        const known = this.#read(object);
        if (known) this.#upsert(key, known);
      }
    }
    if (version) this.#version = version;
  }

  /** Null for an unreadable object. */
  #read(object: KubeKinds[K]): Known<R> | null {
    const row = this.#guard(keyOf(object), object, () => {
      decodeObject(this.#kind, object);
      const { uid = '', resourceVersion = '' } = object.metadata ?? {};
      return { uid, version: resourceVersion, row: this.#compact(object) };
    });
    return row ?? null;
  }

  #upsert(key: string, known: Known<R>): void {
    let before = this.#known.get(key) ?? null;
    if (before && before.uid !== known.uid) {
      this.#remove(key);
      before = null;
    }
    if (before && before.version === known.version && known.version !== '') return;
    this.#known.set(key, known);
    this.skipped.delete(key);
    this.#guard(key, known.row, () => {
      this.#handlers.onUpsert(known.row, before?.row ?? null, key);
    });
  }

  #remove(key: string): void {
    this.skipped.delete(key);
    const before = this.#known.get(key);
    if (!before) return;
    this.#known.delete(key);
    this.#guard(key, before.row, () => this.#handlers.onDelete(before.row, key));
  }

  /** Calls a reader or a handler. What it throws concerns one object only. */
  #guard<T>(key: string, object: unknown, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      const why = error instanceof Error ? error : new Error(String(error));
      this.skipped.set(key, why.message);
      this.#handlers.onSkip(key, why, object as object);
      return undefined;
    }
  }
}

/** The key of an object. Accepts malformed objects. */
function keyOf(object: { metadata?: { namespace?: string; name?: string } }): string {
  const { namespace, name } = object?.metadata ?? {};
  return namespace ? `${namespace}/${name ?? ''}` : `${name ?? ''}`;
}
