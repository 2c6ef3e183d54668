// Holds what an agent has applied to the system against what is there: rules, routes, devices,
// sysctls, the nftables table. The same for nodes, gateways and twins.
import type { NetworkEvents } from '../../datapath/io/netlink.ts';
import type { MonotonicClock } from '../clock.ts';
import type { Log } from '../log.ts';

/** Events are looked for so often; reading an empty socket costs a microsecond. */
const HEAR_MS = 250;
/** Without events everything is compared so often. */
const LOOK_MS = 4000;
/** What could not be mended is tried again so soon. */
const RETRY_MS = 1000;

/** A kind of thing that is applied to the system. */
export interface Part {
  /** What is not as it is wanted, one line each. */
  missing(): string[];
  /** Makes it so. */
  mend(): void;
}

/** Times are of the agent's clock, in ms. */
export interface ReconcileStatus {
  /** When all was last found as wanted. */
  okAtMs: number;
  /** What was not, at the last look, and could not be mended. */
  missing: string[];
  /** Since when something has been missing; null if nothing is. */
  sinceMs: number | null;
  /** When something was last found to be gone, mended or not; null before the first time. */
  foundMs: number | null;
  /** What that was. */
  found: string[];
}

export interface ReconcilerOptions {
  /** In the order in which they are mended. */
  parts: Part[];
  /** Says that the system may have changed; closed with the reconciler. */
  events: NetworkEvents;
  clock: MonotonicClock;
  log: Log;
}

/** Looks at events and at intervals, mends what differs, and says what it found. */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  #okAtMs: number;
  #missing: string[] = [];
  #sinceMs: number | null = null;
  #foundMs: number | null = null;
  #found: string[] = [];
  #nextLookMs: number;
  #said = '';
  #cancel: () => void;

  /** What the parts want has just been applied. */
  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#okAtMs = options.clock.monotonicMs();
    this.#nextLookMs = this.#okAtMs + LOOK_MS;
    this.#cancel = options.clock.after(HEAR_MS, () => this.#turn());
  }

  status(): ReconcileStatus {
    return {
      ...{ okAtMs: this.#okAtMs, missing: this.#missing, sinceMs: this.#sinceMs },
      ...{ foundMs: this.#foundMs, found: this.#found },
    };
  }

  stop(): void {
    this.#cancel();
    this.#options.events.close();
  }

  /** Compares and mends now. */
  look(): void {
    const { clock } = this.#options;
    const found = this.#observe();
    if (found.length > 0) {
      this.#foundMs = clock.monotonicMs();
      this.#found = found;
      this.#sinceMs ??= this.#foundMs;
      this.#mend(found);
    }
    this.#missing = found.length > 0 ? this.#observe() : [];
    const nowMs = clock.monotonicMs();
    this.#nextLookMs = nowMs + (this.#missing.length > 0 ? RETRY_MS : LOOK_MS);
    if (this.#missing.length === 0) this.#allRight(nowMs);
  }

  #turn(): void {
    const { events, clock } = this.#options;
    if (events.heard() || clock.monotonicMs() >= this.#nextLookMs) this.look();
    this.#cancel = clock.after(HEAR_MS, () => this.#turn());
  }

  #observe(): string[] {
    return this.#options.parts.flatMap((part) => {
      try {
        return part.missing();
      } catch (error) {
        return [`cannot be observed: ${String(error)}`];
      }
    });
  }

  #mend(found: string[]): void {
    const { parts, log } = this.#options;
    const failures: string[] = [];
    for (const part of parts) {
      try {
        part.mend();
      } catch (error) {
        failures.push(String(error));
      }
    }
    // Once: what cannot be mended is tried again every second.
    const said = [...found, ...failures].join('\n');
    if (said === this.#said) return;
    this.#said = said;
    log.warn({ missing: found }, 'the system is not as it was made; mending it');
    if (failures.length > 0) log.error({ failures }, 'not everything could be mended');
  }

  #allRight(nowMs: number): void {
    if (this.#sinceMs !== null) {
      this.#options.log.info({ ms: Math.round(nowMs - this.#sinceMs) }, 'the system is as wanted');
    }
    this.#okAtMs = nowMs;
    this.#sinceMs = null;
    this.#said = '';
  }
}
