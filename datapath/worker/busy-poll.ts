// How long the loop polls for packets before it sleeps. A sleep costs a wake-up, 5 to 50 us until
// the thread runs again. Polling costs CPU time that other threads may need. So each poll spends
// credit. A poll that finds packets earns more credit than it spends. Time alone earns 1 %.

/** `setting` of a BusyPoll: earlier polls decide. Other values are us; 0 is never. */
export const BUSY_POLL_AUTO = -1;
export const BUSY_POLL_US_MAX = 10_000;

/** Length of a poll: as long as a wake-up takes at most. */
export const LOOK_US = 50;
/** Credit of a poll that found packets: one in three must find some. */
const FOUND_US = 100;
/** Credit of 1 us of time: an idle thread polls for at most this share of the time. */
const EARNED = 0.01;
const CREDIT_MAX_US = 1000;
/** A poll that took this long was interrupted for a time slice: another thread needs the CPU. */
const INTERRUPTED_US = 500;
/** Credit after an interruption. Time alone needs 0.1 s to bring it back to zero. */
const CREDIT_INTERRUPTED_US = -1000;

/** The credit of polls. Times are us of any clock. */
export class PollCredit {
  readonly #setting: number;
  #credit = 0;
  #at = 0;

  constructor(setting: number, now: number) {
    this.#setting = setting;
    this.#at = now;
  }

  /** How long to poll now, in us. */
  budget(now: number): number {
    if (this.#setting !== BUSY_POLL_AUTO) return this.#setting;
    const earned = this.#credit + (now - this.#at) * EARNED;
    this.#credit = Math.min(earned, CREDIT_MAX_US);
    this.#at = now;
    return this.#credit >= LOOK_US ? LOOK_US : 0;
  }

  /** Records a poll of `us`, and whether it found packets. */
  note(us: number, found: boolean): void {
    if (us >= INTERRUPTED_US) this.#credit = CREDIT_INTERRUPTED_US;
    else if (found) this.#credit = Math.min(this.#credit + FOUND_US, CREDIT_MAX_US);
    else this.#credit -= us;
  }
}

/** Waits for packets: polls as its credit allows, then sleeps. */
export class Waiter {
  readonly #look: (ms: number) => number;
  readonly #clock: () => number;
  readonly #credit: PollCredit;

  /**
   * @param look sleeps for at most `ms` and returns how many devices have packets.
   * @param clock us.
   */
  constructor(setting: number, look: (ms: number) => number, clock: () => number) {
    this.#look = look;
    this.#clock = clock;
    this.#credit = new PollCredit(setting, clock());
  }

  /** Waits until a device has packets, for `ms` at most; how many have some. */
  wait(ms: number): number {
    const begun = this.#clock();
    const until = begun + this.#credit.budget(begun);
    for (let now = begun; now < until; ) {
      const count = this.#look(0);
      now = this.#clock();
      if (count === 0 && now < until) continue;
      this.#credit.note(now - begun, count > 0);
      if (count > 0) return count;
    }
    return this.#look(ms);
  }
}
