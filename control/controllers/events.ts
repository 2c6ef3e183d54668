// Events of controllers: client-go/tools/record.

import { StatusError } from '../apiserver/status.ts';
import { describeEvent } from '../kube/event.ts';
import { type KubeObject, timestamp } from '../kube/object.ts';
import type { Cluster } from './controller.ts';

/** Known events, to count repetitions. */
const REMEMBERED_MAX = 1000;

/** Writes events of one controller. A repeated event increments the count. */
export class EventRecorder {
  readonly #cluster: Cluster;
  readonly #component: string;
  /** Content of an event -> name of its object, least recently used first. */
  readonly #names = new Map<string, string>();

  constructor(cluster: Cluster, component: string) {
    this.#cluster = cluster;
    this.#component = component;
  }

  record(object: KubeObject, type: 'Normal' | 'Warning', reason: string, message: string): void {
    const namespace = object.metadata.namespace ?? 'default';
    const key = JSON.stringify([object.metadata.uid, type, reason, message]);
    const known = this.#names.get(key);
    const { store, clock } = this.#cluster;
    const lastTimestamp = timestamp(clock.unixMs());
    const earlier = known && store.get('events', namespace, known);
    try {
      if (earlier) {
        const count = Number(earlier.count) + 1;
        this.#cluster.patch(earlier, { count, lastTimestamp });
      } else {
        const { apiVersion, kind, metadata } = object;
        const { name, uid, resourceVersion } = metadata;
        const part = { namespace: metadata.namespace, name, uid, resourceVersion };
        const about = { apiVersion, kind, ...part };
        const content = { type, reason, message, component: this.#component };
        const event = describeEvent(about, content, { generateName: `${name}.` }, lastTimestamp);
        this.#remember(key, this.#cluster.create('Event', namespace, event).metadata.name);
      }
    } catch (error) {
      // A terminating namespace accepts no events.
      if (!(error instanceof StatusError)) throw error;
    }
  }

  #remember(key: string, name: string): void {
    this.#names.delete(key);
    this.#names.set(key, name);
    if (this.#names.size <= REMEMBERED_MAX) return;
    const [oldest] = this.#names.keys();
    this.#names.delete(oldest!);
  }
}
