// Events of pods, limited as a kubelet does.
import type { Logger } from 'pino';
import type { WallClock } from '../../../control/clock.ts';
import type { KubeClient } from '../../../control/kube/client.ts';
import { EventRecorder } from '../../../control/kube/event.ts';
import type { Pod } from '../../../control/kube/kinds.ts';

export interface PodEvent {
  pod: Pod;
  type: 'Normal' | 'Warning';
  reason: string;
  message: string;
  /** Part of the pod, such as `spec.containers{main}`. */
  fieldPath?: string;
}

/** Pods whose events are counted. */
const PODS_MAX = 4096;
/**
 * Burst of events per pod, and the time until one more is allowed (EventSourceObjectSpamFilter).
 */
const BURST_MAX = 25;
const REFILL_MS = 300_000;

/** Writes events of pods within the limits of a kubelet. */
export class PodEvents {
  readonly #recorder: EventRecorder;
  readonly #clock: WallClock;
  readonly #spent = new Map<string, { tokens: number; sinceMs: number }>();

  constructor(kube: KubeClient, log: Logger, clock: WallClock) {
    this.#clock = clock;
    this.#recorder = new EventRecorder(kube, clock, (error, reason) => {
      log.warn({ reason, why: String(error) }, 'cannot write an event');
    });
  }

  record({ pod, fieldPath, ...content }: PodEvent): void {
    const { namespace, name, uid, resourceVersion } = pod.metadata ?? {};
    if (!this.#maySpend(uid ?? '')) return;
    const part = fieldPath ? { fieldPath } : {};
    const about = { apiVersion: 'v1', kind: 'Pod', namespace, name, uid, resourceVersion, ...part };
    const source = { component: 'kubelet', host: pod.spec?.nodeName ?? '' };
    this.#recorder.record(about, { ...content, ...source });
  }

  /** Resolves when every recorded event is written. */
  flush(): Promise<void> {
    return this.#recorder.flush();
  }

  #maySpend(uid: string): boolean {
    const nowMs = this.#clock.unixMs();
    const { tokens, sinceMs } = this.#spent.get(uid) ?? { tokens: BURST_MAX, sinceMs: nowMs };
    const refilled = Math.floor((nowMs - sinceMs) / REFILL_MS);
    const left = Math.min(BURST_MAX, tokens + refilled) - 1;
    if (left < 0) return false;
    this.#spent.delete(uid);
    this.#spent.set(uid, { tokens: left, sinceMs: sinceMs + refilled * REFILL_MS });
    const [oldest] = this.#spent.keys();
    if (this.#spent.size > PODS_MAX) this.#spent.delete(oldest!);
    return true;
  }
}
