// Events are news, not history: kube-apiserver --event-ttl.
import type { KubeObject } from '../apiserver/object.ts';
import { type Cluster, keyOf, kindOf, placeOf } from './cluster.ts';
import { WorkQueue } from './queue.ts';

const KEPT_MS = 3_600_000;
const EVENT = kindOf('Event');

/** Removes events that have not happened again for an hour. */
export class EventExpiry {
  readonly queue: WorkQueue;
  readonly #cluster: Cluster;
  readonly #unsubscribe: () => void;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.queue = new WorkQueue((key) => this.#look(key), cluster.clock);
    for (const event of cluster.store.list('events')) this.queue.add(keyOf(event));
    this.#unsubscribe = cluster.store.subscribe('events', ({ type, object }) => {
      if (type === 'ADDED') this.queue.addAfter(keyOf(object), KEPT_MS);
    });
  }

  stop(): void {
    this.#unsubscribe();
    this.queue.stop();
  }

  #look(key: string): void {
    const { store, registry, clock } = this.#cluster;
    const place = placeOf(key);
    const event = store.get('events', place.namespace, place.name);
    if (!event) return;
    const leftMs = lastMs(event) + KEPT_MS - clock.nowMs();
    if (leftMs > 0) this.queue.addAfter(key, leftMs);
    else registry.remove(EVENT, place, {});
  }
}

/** When an event last happened, as far as whoever wrote it says. */
function lastMs({ metadata, lastTimestamp, eventTime, series }: KubeObject): number {
  const observed = (series as { lastObservedTime?: string } | undefined)?.lastObservedTime;
  const times = [metadata.creationTimestamp, lastTimestamp, eventTime, observed];
  return Math.max(0, ...times.map((time) => Date.parse(String(time)) || 0));
}
