// Reconciles the agent's rules, routes, devices, sysctls and nftables table with the system. The
// same for nodes, gateways and twins.
import type { NetworkEvents } from '../../datapath/io/netlink.ts';
import type { MonotonicClock } from '../clock.ts';
import type { Log } from '../log.ts';

/** Interval of event polls. A loss is repaired within a second. Each poll wakes the thread. */
const HEAR_MS = 500;
/** Interval of comparisons of what changes without an event. */
const LOOK_MS = 4000;
/**
 * Interval of full comparisons without events. Each starts about ten processes: every 4 s they took
 * 1.5 % of a CPU.
 */
const LOOK_WHOLE_MS = 60_000;
/** Interval of retries after a failed repair. */
const RETRY_MS = 1000;

/** A kind of state that the agent applies to the system. */
export interface Part {
  /** Differences from the wanted state, one line each. */
  missing(): string[];
  /** Those that come without an event. It must start no process. Absent if all have events. */
  missingSilently?(): string[];
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
  #nextWholeMs: number;
  #said = '';
  #cancel: () => void;

  /** Notes that the wanted state has just been applied. */
  constructor(options: ReconcilerOptions) {
    this.#options = options;
    const okAtMs = options.clock.monotonicMs();
    this.#status = { okAtMs, missing: [], sinceMs: null, foundMs: null, found: [] };
    this.#nextLookMs = okAtMs + LOOK_MS;
    // Events before the first turn may be lost.
    this.#nextWholeMs = this.#nextLookMs;
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
    const isWhole = status.missing.length === 0;
    this.#nextLookMs = nowMs + (isWhole ? LOOK_MS : RETRY_MS);
    this.#nextWholeMs = nowMs + (isWhole ? LOOK_WHOLE_MS : RETRY_MS);
    if (isWhole) this.#allRight(nowMs);
  }

  #turn(): void {
    const { events, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    if (events.heard() || nowMs >= this.#nextWholeMs) this.look();
    else if (nowMs >= this.#nextLookMs) this.#lookSilently(nowMs);
    this.#cancel = clock.after(HEAR_MS, () => this.#turn());
  }

  /** Compares what changes without an event. There was no event, so the rest is unchanged. */
  #lookSilently(nowMs: number): void {
    if (this.#observe('missingSilently').length > 0) return this.look();
    this.#nextLookMs = nowMs + LOOK_MS;
    this.#allRight(nowMs);
  }

  #observe(compare: 'missing' | 'missingSilently' = 'missing'): string[] {
    return this.#options.parts.flatMap((part) => {
      try {
        return part[compare]?.() ?? [];
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
