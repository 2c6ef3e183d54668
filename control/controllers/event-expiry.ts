// Expiry of events: kube-apiserver --event-ttl.
import { type KubeObject, keyOf } from '../kube/object.ts';
import { type Cluster, placeOf } from './cluster.ts';
import { WorkQueue } from './queue.ts';

const KEPT_MS = 3_600_000;
/** Limit of a namespace, so that repeated failures do not fill the memory. */
const EVENTS_MAX = 1000;

/** Removes events an hour after their last occurrence, and the oldest above the limit. */
export class EventExpiry {
  readonly queue: WorkQueue;
  readonly #cluster: Cluster;
  /** Namespace -> keys of its events, in the order of their last writes. */
  readonly #written = new Map<string, Set<string>>();
  readonly #unsubscribe: () => void;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.queue = new WorkQueue((key) => this.#look(key), cluster.clock);
    const there = cluster.store.list('events').sort((a, b) => lastMs(a) - lastMs(b));
    for (const event of there) {
      this.#note(event);
      this.queue.add(keyOf(event));
    }
    this.#unsubscribe = cluster.store.subscribe('events', ({ type, object }) => {
      if (type === 'DELETED') this.#forget(object);
      else this.#note(object);
      if (type === 'ADDED') this.queue.addAfter(keyOf(object), KEPT_MS);
    });
  }

  stop(): void {
    this.#unsubscribe();
    this.queue.stop();
  }

  #note(event: KubeObject): void {
    const namespace = event.metadata.namespace!;
    const written = this.#written.get(namespace) ?? new Set<string>();
    this.#written.set(namespace, written);
    written.delete(keyOf(event));
    written.add(keyOf(event));
    this.#thin(written);
  }

  #forget(event: KubeObject): void {
    const { namespace = '' } = event.metadata;
    const written = this.#written.get(namespace);
    written?.delete(keyOf(event));
    if (written?.size === 0) this.#written.delete(namespace);
    else if (written) this.#thin(written);
  }

  #thin(written: Set<string>): void {
    const [oldest] = written;
    if (written.size > EVENTS_MAX) this.queue.add(oldest!);
  }

  #look(key: string): void {
    const { store, clock } = this.#cluster;
    const { namespace, name } = placeOf(key);
    const event = store.get('events', namespace, name);
    if (!event) return;
    const leftMs = lastMs(event) + KEPT_MS - clock.unixMs();
    const written = this.#written.get(namespace)!;
    const [oldest] = written;
    const isTooMany = written.size > EVENTS_MAX && oldest === key;
    if (leftMs > 0 && !isTooMany) this.queue.addAfter(key, leftMs);
    // Finalizers do not keep an expired event.
    else store.remove('events', namespace, name);
  }
}

/** The last occurrence of an event, by its own fields. */
function lastMs({ metadata, lastTimestamp, eventTime, series }: KubeObject): number {
  const observed = (series as { lastObservedTime?: string } | undefined)?.lastObservedTime;
  const times = [metadata.creationTimestamp, lastTimestamp, eventTime, observed];
  return Math.max(0, ...times.map((time) => Date.parse(String(time)) || 0));
}
