// Expiry of events: kube-apiserver --event-ttl.
import { type KubeObject, keyOf } from '../kube/object.ts';
import { type Change, type Cluster, Controller } from './controller.ts';
import { Groups } from './object-index.ts';

const KEPT_MS = 3_600_000;
/** Limit of a namespace, so that repeated failures do not fill the memory. */
const EVENTS_MAX = 1000;

/** Removes events an hour after their last occurrence, and the oldest above the limit. */
export class EventExpiry extends Controller {
  /** Keys of events by namespace, in the order of their last writes. */
  readonly #written = new Groups<KubeObject>();

  constructor(cluster: Cluster) {
    super(cluster);
    const there = cluster.store.list('events').sort((a, b) => lastMs(a) - lastMs(b));
    for (const event of there) {
      this.#onEvent({ object: event });
      this.queue.add(keyOf(event));
    }
    this.subscribe('events', (event) => this.#onEvent(event));
  }

  #onEvent({ type, object }: Change): void {
    const namespace = object.metadata.namespace!;
    const key = keyOf(object);
    this.#written.remove(namespace, key);
    if (type !== 'DELETED') this.#written.put(namespace, key, object);
    if (type === 'ADDED') this.queue.addAfter(key, KEPT_MS);
    const excess = this.#excess(namespace);
    if (excess) this.queue.add(excess);
  }

  /** The key of the oldest event if a namespace has too many. */
  #excess(namespace: string): string | undefined {
    const written = this.#written.get(namespace);
    return written && written.size > EVENTS_MAX ? written.keys().next().value : undefined;
  }

  protected reconcile(key: string): void {
    const { store, clock } = this.cluster;
    const event = store.at('events', key);
    if (!event) return;
    const { namespace, name } = event.metadata;
    const leftMs = lastMs(event) + KEPT_MS - clock.unixMs();
    if (leftMs > 0 && this.#excess(namespace!) !== key) this.queue.addAfter(key, leftMs);
    // Finalizers do not keep an expired event.
    else store.remove('events', namespace!, name);
  }
}

/** The last occurrence of an event, by its own fields. */
function lastMs({ metadata, lastTimestamp, eventTime, series }: KubeObject): number {
  const observed = (series as { lastObservedTime?: string } | undefined)?.lastObservedTime;
  const times = [metadata.creationTimestamp, lastTimestamp, eventTime, observed];
  return Math.max(0, ...times.map((time) => Date.parse(String(time)) || 0));
}
