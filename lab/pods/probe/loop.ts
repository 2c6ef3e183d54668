import type { WallClock } from '../../../control/clock.ts';
import type { Probe } from '../../../control/kube/kinds.ts';
import type { ActionResult } from '../action/network.ts';

/** A probe's numbers. */
export interface ProbePlan {
  /** After the start of the container. */
  delayMs: number;
  periodMs: number;
  timeoutMs: number;
  successThreshold: number;
  failureThreshold: number;
}

/** Upstream's defaults, pkg/apis/core/v1/defaults.go, where a probe leaves a number out. */
export function planProbe(probe: Probe): ProbePlan {
  return {
    delayMs: (probe.initialDelaySeconds ?? 0) * 1000,
    periodMs: (probe.periodSeconds || 10) * 1000,
    timeoutMs: (probe.timeoutSeconds || 1) * 1000,
    successThreshold: probe.successThreshold || 1,
    failureThreshold: probe.failureThreshold || 3,
  };
}

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

/** What a loop tells. */
export interface ProbeHandlers {
  /** Runs the probe once; never rejects, and ends within the probe's timeout. */
  attempt: () => Promise<ActionResult>;
  /** An attempt that was not good, whether or not it decides anything yet. */
  onBad: (output: string) => void;
  /** Attempts in a row have agreed, and still do. */
  onVerdict: (good: boolean, output: string) => void;
}

/** One probe of one container, again and again until it is stopped. It waits for no other. */
export class ProbeLoop {
  readonly #plan: ProbePlan;
  readonly #clock: WallClock;
  readonly #handlers: ProbeHandlers;
  #track: ProbeTrack | null = null;
  #callOff: () => void = () => {};

  constructor(plan: ProbePlan, clock: WallClock, handlers: ProbeHandlers) {
    this.#plan = plan;
    this.#clock = clock;
    this.#handlers = handlers;
  }

  /** @param waitMs before the first attempt, besides the initial delay. */
  start(startedMs: number, waitMs = 0): void {
    this.#track = new ProbeTrack(this.#plan, startedMs, this.#clock.unixMs() + waitMs);
    this.#await(this.#track);
  }

  /** What an attempt that is under way will say counts no more. */
  stop(): void {
    this.#track = null;
    this.#callOff();
  }

  #await(track: ProbeTrack): void {
    const waitMs = Math.max(0, track.dueMs - this.#clock.unixMs());
    this.#callOff = this.#clock.after(waitMs, () => void this.#run(track));
  }

  async #run(track: ProbeTrack): Promise<void> {
    const begunMs = this.#clock.unixMs();
    const { good, output } = await this.#handlers.attempt();
    if (this.#track !== track) return;
    const verdict = track.take(good, begunMs, this.#clock.unixMs());
    if (!good) this.#handlers.onBad(output);
    if (verdict !== null) this.#handlers.onVerdict(verdict, output);
    if (this.#track === track) this.#await(track);
  }
}
