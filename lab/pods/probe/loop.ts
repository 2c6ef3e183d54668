import type { WallClock } from '../../../control/clock.ts';
import type { Probe } from '../../../control/kube/kinds.ts';
import type { ActionResult } from '../action/network.ts';

/** Times and thresholds of a probe. */
export interface ProbePlan {
  /** After the container's start. */
  delayMs: number;
  periodMs: number;
  timeoutMs: number;
  successThreshold: number;
  failureThreshold: number;
}

/** Fills in upstream's defaults. Source: pkg/apis/core/v1/defaults.go. */
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
 * Decides when a probe is due, and when enough attempts agree. It has no clock: the caller gives
 * all times in milliseconds. Source: pkg/kubelet/prober/worker.go.
 */
export class ProbeTrack {
  /** When the next attempt is due. */
  dueMs: number;
  readonly #plan: ProbePlan;
  #last: boolean | null = null;
  #streak = 0;

  /** @param startedMs when the container started. */
  constructor(plan: ProbePlan, startedMs: number, nowMs: number) {
    this.#plan = plan;
    this.dueMs = Math.max(nowMs, startedMs + plan.delayMs);
  }

  /** Records an attempt. Returns its result once enough attempts in a row agree, null before. */
  take(good: boolean, begunMs: number, nowMs: number): boolean | null {
    // Periods that a long attempt has missed are skipped.
    this.dueMs = Math.max(begunMs + this.#plan.periodMs, nowMs);
    this.#streak = good === this.#last ? this.#streak + 1 : 1;
    this.#last = good;
    const enough = good ? this.#plan.successThreshold : this.#plan.failureThreshold;
    return this.#streak >= enough ? good : null;
  }
}

/** Callbacks of a probe loop. */
export interface ProbeHandlers {
  /** Runs the probe once. Never rejects, and ends within the probe's timeout. */
  attempt: () => Promise<ActionResult>;
  /** Called for each failed attempt, also below the threshold. */
  onBad: (output: string) => void;
  /** Called for each attempt from the threshold on. */
  onVerdict: (good: boolean, output: string) => void;
}

/** One probe of one container, repeated until it is stopped. */
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

  /** Stops the loop. The result of a running attempt is ignored. */
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
