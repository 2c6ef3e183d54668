// Health of an agent: checks of its parts, their faults, and since when.

import type { Engine } from '../../datapath/worker/engine.ts';
import type { MonotonicClock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { ReconcileStatus } from '../node/reconcile.ts';
import type { ImageSink, Publisher } from '../sync/publisher.ts';

/** Interval of the checks. A request for health checks at once. */
const LOOK_MS = 1000;
/** A change that is pending for longer makes the agent unhealthy (k8s pkg/proxy/healthcheck). */
const PENDING_MS_MAX = 60_000;
/** The worker ticks ten times a second. */
const HEARTBEAT_MS_MAX = 3000;
/** Longest wait for a new image. The worker wakes up for it and switches between two batches. */
const ACKNOWLEDGE_MS_MAX = 3000;
/** Rules and routes are compared every few seconds. */
const RECONCILED_MS_MAX = 20_000;
/** A repaired part stays unhealthy for this long, in case the fault returns. */
const SETTLED_MS = 1500;

/** Why a part is unhealthy. `sinceMs` if the part knows it. */
export interface Fault {
  reason: string;
  sinceMs?: number;
}

/** Finds what is wrong with one part; null if nothing is. `nowMs` is the clock's time. */
export type HealthCheck = (nowMs: number) => Fault | null;

/** A part that is unhealthy. */
export interface UnhealthyPart {
  part: string;
  reason: string;
  sinceMs: number;
}

export interface HealthReport {
  healthy: boolean;
  /** `since` is RFC 3339. */
  unhealthy: { part: string; reason: string; since: string }[];
  faults: Record<string, number>;
}

export interface HealthMonitorOptions {
  /** By the name of their part. */
  checks: Record<string, HealthCheck>;
  clock: MonotonicClock;
  log: Log;
}

/** Runs the checks of an agent, remembers since when a part is unhealthy, and logs changes. */
export class HealthMonitor {
  readonly #options: HealthMonitorOptions;
  readonly #unhealthy = new Map<string, UnhealthyPart>();
  /** How many times each part has become unhealthy. */
  readonly #faults: Record<string, number>;
  #cancel: () => void;

  constructor(options: HealthMonitorOptions) {
    this.#options = options;
    this.#faults = Object.fromEntries(Object.keys(options.checks).map((part) => [part, 0]));
    this.#cancel = options.clock.after(LOOK_MS, () => this.#turn());
  }

  get isHealthy(): boolean {
    return this.look().length === 0;
  }

  /** Checks every part now. Returns the unhealthy ones. */
  look(): UnhealthyPart[] {
    const nowMs = this.#options.clock.monotonicMs();
    for (const [part, check] of Object.entries(this.#options.checks)) {
      this.#note(part, faultOf(check, nowMs), nowMs);
    }
    return [...this.#unhealthy.values()];
  }

  /** Checks every part now. Returns the unhealthy ones and the number of faults of each part. */
  report(): HealthReport {
    const parts = this.look();
    const originMs = Date.now() - this.#options.clock.monotonicMs();
    return {
      healthy: parts.length === 0,
      unhealthy: parts.map((part) => dated(part, originMs)),
      faults: { ...this.#faults },
    };
  }

  stop(): void {
    this.#cancel();
  }

  #turn(): void {
    this.look();
    this.#cancel = this.#options.clock.after(LOOK_MS, () => this.#turn());
  }

  #note(part: string, fault: Fault | null, nowMs: number): void {
    const { log } = this.#options;
    const before = this.#unhealthy.get(part);
    if (fault) {
      const sinceMs = before?.sinceMs ?? fault.sinceMs ?? nowMs;
      this.#unhealthy.set(part, { part, reason: fault.reason, sinceMs });
      if (before) return;
      this.#faults[part]!++;
      log.warn({ part, reason: fault.reason }, 'unhealthy');
    } else if (before) {
      this.#unhealthy.delete(part);
      log.info({ part, ms: Math.round(nowMs - before.sinceMs) }, 'healthy again');
    }
  }
}

/** @param originMs wall clock time, in ms, at which the monotonic clock was zero. */
export function dated({ part, reason, sinceMs }: UnhealthyPart, originMs: number) {
  return { part, reason, since: new Date(originMs + sinceMs).toISOString() };
}

/** An exception of a check counts as a fault. */
function faultOf(check: HealthCheck, nowMs: number): Fault | null {
  try {
    return check(nowMs);
  } catch (error) {
    return { reason: `cannot be checked: ${String(error)}` };
  }
}

function firstOf(lines: string[]): string {
  return lines.length > 1 ? `${lines[0]} and ${lines.length - 1} more` : `${lines[0]}`;
}

/** Unhealthy before the first image, and while a change waits for too long. */
export function checkTables(publisher: Pick<Publisher, 'progress'>): HealthCheck {
  return (nowMs) => {
    const { pendingSinceMs, updatedMs } = publisher.progress;
    if (updatedMs === null) return { reason: 'no tables are in force yet' };
    if (pendingSinceMs === null || nowMs - pendingSinceMs <= PENDING_MS_MAX) return null;
    const waited = Math.round((nowMs - pendingSinceMs) / 1000);
    return { reason: `a change has waited for ${waited} s`, sinceMs: pendingSinceMs };
  };
}

type WorkerSigns = Pick<Engine, 'workerFailure' | 'restarts' | 'heartbeatAgeMs'>;

/**
 * Unhealthy while no worker runs, and while its heartbeat has stopped. After a restart, the next
 * check reports it even if the worker runs again.
 */
export function checkWorker(engine: WorkerSigns): HealthCheck {
  let toldRestarts = engine.restarts;
  return (nowMs) => {
    const isRestarted = engine.restarts !== toldRestarts;
    toldRestarts = engine.restarts;
    if (engine.workerFailure !== null) return { reason: engine.workerFailure };
    if (isRestarted) return { reason: 'the worker has just restarted' };
    const ageMs = engine.heartbeatAgeMs();
    if (ageMs <= HEARTBEAT_MS_MAX) return null;
    const age = Math.round(ageMs / 1000);
    return { reason: `the worker last ticked ${age} s ago`, sinceMs: nowMs - ageMs };
  };
}

/** Unhealthy while the worker does not use the published image. */
export function checkImage(sink: Pick<ImageSink, 'generation' | 'acknowledged'>): HealthCheck {
  let last = -1;
  let sinceMs: number | null = null;
  return (nowMs) => {
    const acknowledged = sink.acknowledged();
    // Under steady changes there is always a newer image, so progress of the worker is enough.
    if (acknowledged >= sink.generation || acknowledged !== last) sinceMs = null;
    last = acknowledged;
    if (acknowledged >= sink.generation) return null;
    sinceMs ??= nowMs;
    if (nowMs - sinceMs <= ACKNOWLEDGE_MS_MAX) return null;
    const reason = `image ${sink.generation} is not taken over; ${acknowledged} is in force`;
    return { reason, sinceMs };
  };
}

/** Times are of the agent's clock, in ms. */
interface Reconciled {
  status(): Pick<ReconcileStatus, 'okAtMs' | 'missing' | 'foundMs' | 'found'>;
}

/**
 * Unhealthy while rules, routes or devices are missing, for a short time after a repair, and when
 * the last comparison is too old. The next check reports a loss even if it is repaired already.
 */
export function checkSteering(reconciler: Reconciled): HealthCheck {
  let toldMs: number | null = null;
  return (nowMs) => {
    const { okAtMs, missing, foundMs, found } = reconciler.status();
    if (missing.length > 0) {
      toldMs = foundMs;
      return { reason: `not in force: ${firstOf(missing)}`, sinceMs: okAtMs };
    }
    if (foundMs !== null && (foundMs !== toldMs || nowMs - foundMs <= SETTLED_MS)) {
      toldMs = foundMs;
      return { reason: `just repaired: ${firstOf(found)}`, sinceMs: foundMs };
    }
    if (nowMs - okAtMs <= RECONCILED_MS_MAX) return null;
    const age = Math.round((nowMs - okAtMs) / 1000);
    return { reason: `last compared with the system ${age} s ago`, sinceMs: okAtMs };
  };
}
