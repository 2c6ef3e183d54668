import type { WallClock } from '../../../control/clock.ts';
import type { ActionResult } from '../action/network.ts';
import type { ProbePlan } from './plan.ts';
import { ProbeTrack } from './track.ts';

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
