import type { ProbePlan } from './plan.ts';

/**
 * When a probe is due, and what its attempts add up to. It has no clock: times are milliseconds
 * that its caller gives. pkg/kubelet/prober/worker.go.
 */
export class ProbeTrack {
  /** When the next attempt is to begin. */
  dueMs: number;
  readonly #plan: ProbePlan;
  #last: boolean | null = null;
  #streak = 0;

  /** @param startedMs when the container started. */
  constructor(plan: ProbePlan, startedMs: number, nowMs: number) {
    this.#plan = plan;
    this.dueMs = Math.max(nowMs, startedMs + plan.delayMs);
  }

  /** Notes an attempt. True or false once enough in a row agree, null before. */
  take(good: boolean, begunMs: number, nowMs: number): boolean | null {
    // An attempt that took longer than a period leaves out those it has missed.
    this.dueMs = Math.max(begunMs + this.#plan.periodMs, nowMs);
    this.#streak = good === this.#last ? this.#streak + 1 : 1;
    this.#last = good;
    const enough = good ? this.#plan.successThreshold : this.#plan.failureThreshold;
    return this.#streak >= enough ? good : null;
  }
}
