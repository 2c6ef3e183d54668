import type { KubeClient, KubeScope, KubeWatchEvent } from './client.ts';
import { decodeObject } from './decode.ts';
import { isGone } from './error.ts';
import type { KubeKind, KubeKinds } from './kinds.ts';

/** Objects per page of a list: a page becomes rows before the next one is asked for. */
const PAGE_OBJECTS = 1000;
/** A watch is ended by the server after 5 to 10 minutes, as client-go asks. */
const WATCH_S_MIN = 300;
/** A watch that ends sooner than this, having brought nothing, counts as a failure. */
const WATCH_MS_USEFUL = 1000;

/** Delays and chances of an informer; tests shorten them. */
export interface InformerPacing {
  /** A watch silent for so long is renewed. */
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
  /** What is kept of an object, and handed to the handlers; the object itself without it. */
  compact?: (object: T) => R;
  pacing?: Partial<InformerPacing>;
}

export interface InformerHandlers<R> {
  /** New or changed; `before` is null for a new object. */
  onUpsert(row: R, before: R | null, key: string): void;
  /** Gone; the row as it was last seen. */
  onDelete(row: R, key: string): void;
  /** Once: everything that existed at the start has been handed over. */
  onSynced(): void;
  /** A list or watch failed and is tried again in so many ms. */
  onError?(error: unknown, retryMs: number): void;
  /**
   * This version of an object cannot be read, or a handler threw for it. The version before it
   * stays.
   */
  onSkip(key: string, error: Error, object: object): void;
}

export interface Informer<R> {
  readonly synced: boolean;
  /** Key of each object whose latest version was skipped -> why. */
  readonly skipped: ReadonlyMap<string, string>;
  /** Key (`namespace/name`, or `name`) -> row, as the handlers saw it last. */
  get(key: string): R | undefined;
  rows(): Iterable<R>;
  stop(): void;
}

/**
 * Keeps a local picture of a kind: lists once, then watches from there. Every change of an object
 * is handed over exactly once and in order, through disconnects (the watch goes on from the last
 * version seen), expired versions (a fresh list is compared with the picture, so that only
 * differences are handed over, a removal that was missed among them) and an object that was
 * replaced by another of its name (a delete, then an upsert). Failures are retried with exponential
 * back-off and jitter, for ever. Objects are decoded as Go decodes them. An object that cannot be
 * decoded, compacted or handled is skipped: the others go on.
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

/** What is known of an object; `identity` changes with every write to it. */
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
  #version: string | null = null;
  #failures = 0;
  /** The version has expired since the last event. */
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
        // An expiry is ordinary, above all after an outage: the list comes at once. Repeated ones,
        // with no event between them, back off like any failure.
        const delay = gone && !this.#expired ? 0 : this.#nextDelay();
        if (gone) this.#expired = true;
        this.#failures++;
        this.#handlers.onError?.(error, delay);
        await this.#sleep(delay);
      }
    }
  }

  #nextDelay(): number {
    const { backoffMsMin, backoffMsMax, random } = this.#pacing;
    const full = Math.min(backoffMsMax, backoffMsMin * 2 ** Math.min(this.#failures, 20));
    return Math.round(full * (0.5 + random() / 2));
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const { signal } = this.#abort;
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener('abort', done);
    });
  }

  /** Lists everything, then hands over what differs from the picture. */
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
      // What cannot be read any more stays as it could be read last.
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
        this.#failures = 0;
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

  /** Null if it cannot be read. */
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

  /**
   * The one place where objects are handed to readers: what one of them throws is about one object.
   */
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

/** Of any object, however little it is one. */
function keyOf(object: { metadata?: { namespace?: string; name?: string } }): string {
  const { namespace, name } = object?.metadata ?? {};
  return namespace ? `${namespace}/${name ?? ''}` : `${name ?? ''}`;
}
