// Reconciles the agent's rules, routes, devices, sysctls and nftables table with the system. The
// same for nodes, gateways and twins.
import type { NetworkEvents } from '../../datapath/io/netlink.ts';
import type { MonotonicClock } from '../clock.ts';
import type { Log } from '../log.ts';

/** Interval of event polls. Reading an empty socket costs a microsecond. */
const HEAR_MS = 250;
/** Interval of full comparisons without events. */
const LOOK_MS = 4000;
/** Interval of retries after a failed repair. */
const RETRY_MS = 1000;

/** A kind of state that the agent applies to the system. */
export interface Part {
  /** Differences from the wanted state, one line each. */
  missing(): string[];
  /** Applies the wanted state. */
  mend(): void;
}

/** Times are of the agent's clock, in ms. */
export interface ReconcileStatus {
  /** Last time without a difference. */
  okAtMs: number;
  /** Differences that the last run could not repair. */
  missing: string[];
  /** Start of the present difference. Null for none. */
  sinceMs: number | null;
  /** Last time of a difference, repaired or not. Null before the first. */
  foundMs: number | null;
  /** The differences at that time. */
  found: string[];
}

export interface ReconcilerOptions {
  /** In order of repair. */
  parts: Part[];
  /** Reports that the system may have changed. The reconciler closes it at its end. */
  events: NetworkEvents;
  clock: MonotonicClock;
  log: Log;
}

/** Compares on events and at intervals, repairs differences, and reports them. */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #status: ReconcileStatus;
  #nextLookMs: number;
  #said = '';
  #cancel: () => void;

  /** Notes that the wanted state has just been applied. */
  constructor(options: ReconcilerOptions) {
    this.#options = options;
    const okAtMs = options.clock.monotonicMs();
    this.#status = { okAtMs, missing: [], sinceMs: null, foundMs: null, found: [] };
    this.#nextLookMs = okAtMs + LOOK_MS;
    this.#cancel = options.clock.after(HEAR_MS, () => this.#turn());
  }

  status(): ReconcileStatus {
    return { ...this.#status };
  }

  stop(): void {
    this.#cancel();
    this.#options.events.close();
  }

  /** Compares and repairs now. */
  look(): void {
    const { clock } = this.#options;
    const status = this.#status;
    const found = this.#observe();
    if (found.length > 0) {
      const foundMs = clock.monotonicMs();
      Object.assign(status, { foundMs, found, sinceMs: status.sinceMs ?? foundMs });
      this.#mend(found);
    }
    status.missing = found.length > 0 ? this.#observe() : [];
    const nowMs = clock.monotonicMs();
    this.#nextLookMs = nowMs + (status.missing.length > 0 ? RETRY_MS : LOOK_MS);
    if (status.missing.length === 0) this.#allRight(nowMs);
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
    // Logged once, because retries come every second.
    const said = [...found, ...failures].join('\n');
    if (said === this.#said) return;
    this.#said = said;
    log.warn({ missing: found }, 'the system differs from what the agent applied; repairing it');
    if (failures.length > 0) log.error({ failures }, 'not every difference could be repaired');
  }

  #allRight(nowMs: number): void {
    const { sinceMs } = this.#status;
    if (sinceMs !== null) {
      this.#options.log.info({ ms: Math.round(nowMs - sinceMs) }, 'the system is as wanted');
    }
    Object.assign(this.#status, { okAtMs: nowMs, sinceMs: null });
    this.#said = '';
  }
}
