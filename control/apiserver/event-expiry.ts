// Events are news: they go an hour after they were last written, as with upstream's --event-ttl.
import { later } from './later.ts';
import type { KubeObject } from './object.ts';
import type { Store } from './store.ts';

const TTL_MS = 3_600_000;
/** Of one namespace; the oldest go first. Something that fails all the time must not fill the memory. */
const EVENTS_MAX = 1000;
const SWEEP_MS = 60_000;

/** Removes the events of a store that are too old or too many. */
export class EventExpiry {
  readonly #store: Store;
  readonly #now: () => number;
  /** Namespace -> name of an event -> when it was written; the oldest first. */
  readonly #written = new Map<string, Map<string, number>>();
  readonly #unsubscribe: () => void;
  readonly #timer: NodeJS.Timeout;

  /** @param now the time in milliseconds since 1970. */
  constructor(store: Store, now: () => number = Date.now) {
    this.#store = store;
    this.#now = now;
    const there = store.list('events').map((object) => ({ object, ms: lastWrite(object, now()) }));
    for (const { object, ms } of there.sort((a, b) => a.ms - b.ms)) this.#note(object, ms);
    this.#unsubscribe = store.subscribe('events', ({ type, object }) => {
      if (type !== 'DELETED') this.#note(object, now());
      else this.#written.get(object.metadata.namespace!)?.delete(object.metadata.name);
    });
    this.#timer = setInterval(() => later(() => this.sweep()), SWEEP_MS).unref();
  }

  /** Removes what is too old now. */
  sweep(): void {
    for (const [namespace, written] of this.#written) {
      for (const [name, ms] of written) {
        if (ms > this.#now() - TTL_MS) break;
        this.#remove(namespace, name);
      }
      if (written.size === 0) this.#written.delete(namespace);
    }
  }

  stop(): void {
    this.#unsubscribe();
    clearInterval(this.#timer);
  }

  #note({ metadata }: KubeObject, ms: number): void {
    const namespace = metadata.namespace!;
    const written = this.#written.get(namespace) ?? new Map<string, number>();
    this.#written.set(namespace, written);
    written.delete(metadata.name);
    written.set(metadata.name, ms);
    if (written.size <= EVENTS_MAX) return;
    later(() => {
      for (const oldest of written.keys()) {
        if (written.size <= EVENTS_MAX) break;
        this.#remove(namespace, oldest);
      }
    });
  }

  /** Whatever holds it: the time of an event is over even if it has finalizers. */
  #remove(namespace: string, name: string): void {
    this.#store.remove('events', namespace, name);
  }
}

/** When an event of an earlier life of the server was written, as far as it says so. */
function lastWrite({ metadata, lastTimestamp, eventTime }: KubeObject, now: number): number {
  const times = [metadata.creationTimestamp, lastTimestamp, eventTime].map((t) =>
    Date.parse(String(t)),
  );
  return Math.min(now, Math.max(...times.filter((ms) => !Number.isNaN(ms)), 0));
}
