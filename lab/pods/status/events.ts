// Events of pods, counted and limited as a kubelet does. Source: client-go, tools/record.
import type { Logger } from 'pino';
import type { WallClock } from '../../../control/clock.ts';
import type { KubeClient } from '../../../control/kube/client.ts';
import { isNotFound } from '../../../control/kube/error.ts';
import { describeEvent } from '../../../control/kube/event.ts';
import type { Pod } from '../../../control/kube/kinds.ts';
import { timestamp } from './status.ts';

export interface PodEvent {
  pod: Pod;
  type: 'Normal' | 'Warning';
  reason: string;
  message: string;
  /** Part of the pod, such as `spec.containers{main}`. */
  fieldPath?: string;
}

/** Remembered kinds of events. A repeated one increments its count. */
const KNOWN_MAX = 4096;
/** Events that wait to be written. Further ones are dropped. */
const WAITING_MAX = 1000;
/**
 * Burst of events per pod, and the time until one more is allowed (EventSourceObjectSpamFilter).
 */
const BURST_MAX = 25;
const REFILL_MS = 300_000;

interface Known {
  name: string;
  count: number;
}

export class EventRecorder {
  readonly #kube: KubeClient;
  readonly #log: Logger;
  readonly #clock: WallClock;
  /** Ordered by last use. */
  readonly #known = new Map<string, Known>();
  readonly #spent = new Map<string, { tokens: number; sinceMs: number }>();
  #writing: Promise<void> = Promise.resolve();
  #waiting = 0;

  constructor(kube: KubeClient, log: Logger, clock: WallClock) {
    this.#kube = kube;
    this.#log = log;
    this.#clock = clock;
  }

  /** Writes an event or increments its count, one write at a time, within the limits. */
  record(event: PodEvent): void {
    if (this.#waiting >= WAITING_MAX || !this.#maySpend(event.pod.metadata?.uid ?? '')) return;
    const atMs = this.#clock.unixMs();
    this.#waiting++;
    this.#writing = this.#writing
      .then(() => this.#write(event, timestamp(atMs)))
      .catch((error: unknown) => {
        this.#log.warn({ reason: event.reason, why: String(error) }, 'cannot write an event');
      })
      .finally(() => {
        this.#waiting--;
      });
  }

  /** Resolves when every recorded event is written. */
  flush(): Promise<void> {
    return this.#writing;
  }

  async #write(event: PodEvent, at: string): Promise<void> {
    const { uid, namespace = 'default' } = event.pod.metadata ?? {};
    const key = [uid, event.fieldPath, event.type, event.reason, event.message].join('\n');
    const known = this.#known.get(key);
    if (known) {
      const count = known.count + 1;
      const patch = { count, lastTimestamp: at };
      try {
        await this.#kube.patch('Event', { namespace, name: known.name }, patch);
        return this.#remember(key, { ...known, count });
      } catch (error) {
        // The event was removed, so a new one is written.
        if (!isNotFound(error)) throw error;
      }
    }
    const object = newEvent(event, at, this.#clock.unixMs());
    await this.#kube.create('Event', object as never);
    this.#remember(key, { name: object.metadata.name, count: 1 });
  }

  #remember(key: string, known: Known): void {
    this.#known.delete(key);
    this.#known.set(key, known);
    forgetBeyond(this.#known);
  }

  #maySpend(uid: string): boolean {
    const nowMs = this.#clock.unixMs();
    const { tokens, sinceMs } = this.#spent.get(uid) ?? { tokens: BURST_MAX, sinceMs: nowMs };
    const refilled = Math.floor((nowMs - sinceMs) / REFILL_MS);
    const left = Math.min(BURST_MAX, tokens + refilled) - 1;
    if (left < 0) return false;
    this.#spent.delete(uid);
    this.#spent.set(uid, { tokens: left, sinceMs: sinceMs + refilled * REFILL_MS });
    forgetBeyond(this.#spent);
    return true;
  }
}

function forgetBeyond(map: Map<string, unknown>): void {
  if (map.size <= KNOWN_MAX) return;
  for (const oldest of map.keys()) return void map.delete(oldest);
}

function newEvent({ pod, fieldPath, ...content }: PodEvent, at: string, nowMs: number) {
  const { namespace, name, uid, resourceVersion } = pod.metadata!;
  const part = fieldPath ? { fieldPath } : {};
  const about = { apiVersion: 'v1', kind: 'Pod', namespace, name, uid, resourceVersion, ...part };
  const random = Math.floor(Math.random() * 2 ** 32).toString(16);
  const eventName = { name: `${name}.${nowMs.toString(16)}${random.padStart(8, '0')}` };
  const source = { component: 'kubelet', host: pod.spec?.nodeName ?? '' };
  return describeEvent(about, { ...content, ...source }, eventName, at);
}
