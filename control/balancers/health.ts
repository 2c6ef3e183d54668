// Health of the nodes behind load balancers: one HTTP request per second for each.
import { Agent, request } from 'node:http';
import { formatAddress } from '../../datapath/wire/address.ts';
import type { MonotonicClock } from '../clock.ts';

const INTERVAL_MS = 1000;
/** Consecutive failures that take a node out. One success brings it back. */
const FAILURES_OUT = 2;
/** Limit of concurrent checks. With too many targets, each is checked less often. */
const ASKING_MAX = 64;

/** A node's address, int32, and a port that answers for it. */
export interface HealthTarget {
  address: number;
  port: number;
}

/** `ok` is a 200. `refused` is a 503: the node asks for no traffic. Everything else is `failed`. */
export type HealthAnswer = 'ok' | 'refused' | 'failed';

export interface Health {
  isHealthy: boolean;
  /** Consecutive ones. */
  failures: number;
}

/** Health after an answer. `before` is null for the first answer. */
export function nextHealth(before: Health | null, answer: HealthAnswer): Health {
  if (answer === 'ok') return { isHealthy: true, failures: 0 };
  const failures = (before?.failures ?? 0) + 1;
  const isOut = answer === 'refused' || failures >= FAILURES_OUT || !before?.isHealthy;
  return { isHealthy: !isOut, failures };
}

export function targetKey({ address, port }: HealthTarget): string {
  return `${address}:${port}`;
}

export interface HealthChecksOptions {
  ask: (target: HealthTarget) => Promise<HealthAnswer>;
  /** The health of a target has changed. */
  onChange: (target: HealthTarget, isHealthy: boolean) => void;
  /** Every target has a first result. Called each time this becomes true. */
  onSettled: () => void;
  clock: MonotonicClock;
}

interface Check {
  target: HealthTarget;
  health: Health | null;
  cancel: () => void;
}

/** Checks a set of targets periodically. */
export class HealthChecks {
  readonly #options: HealthChecksOptions;
  readonly #checks = new Map<string, Check>();
  /** Due checks that wait for a free slot. */
  readonly #due = new Set<Check>();
  #asking = 0;

  constructor(options: HealthChecksOptions) {
    this.#options = options;
  }

  /** True while a target may get traffic: never before its first good answer. */
  isHealthy(target: HealthTarget): boolean {
    return this.#checks.get(targetKey(target))?.health?.isHealthy ?? false;
  }

  /** True if every target has a first result. */
  get isSettled(): boolean {
    return [...this.#checks.values()].every(({ health }) => health !== null);
  }

  /** Replaces the set of targets. New ones are checked at once. */
  follow(targets: HealthTarget[]): void {
    const wanted = new Map(targets.map((target) => [targetKey(target), target]));
    for (const [key, check] of this.#checks) if (!wanted.has(key)) this.#drop(key, check);
    for (const [key, target] of wanted) {
      if (this.#checks.has(key)) continue;
      const check: Check = { target, health: null, cancel: () => {} };
      this.#checks.set(key, check);
      this.#due.add(check);
    }
    this.#askNext();
    if (this.isSettled) this.#options.onSettled();
  }

  stop(): void {
    for (const [key, check] of this.#checks) this.#drop(key, check);
  }

  #drop(key: string, check: Check): void {
    check.cancel();
    this.#due.delete(check);
    this.#checks.delete(key);
  }

  #askNext(): void {
    for (const check of this.#due) {
      if (this.#asking >= ASKING_MAX) return;
      this.#due.delete(check);
      this.#asking++;
      void this.#options.ask(check.target).then((answer) => {
        this.#asking--;
        this.#take(check, answer);
        this.#askNext();
      });
    }
  }

  #take(check: Check, answer: HealthAnswer): void {
    if (this.#checks.get(targetKey(check.target)) !== check) return;
    const { clock, onChange, onSettled } = this.#options;
    const before = check.health;
    check.health = nextHealth(before, answer);
    check.cancel = clock.after(INTERVAL_MS, () => {
      this.#due.add(check);
      this.#askNext();
    });
    const { isHealthy } = check.health;
    if (isHealthy !== (before?.isHealthy ?? false)) onChange(check.target, isHealthy);
    if (before === null && this.isSettled) onSettled();
  }
}

const ANSWER_MS_MAX = 900;
/** Limit of kept sockets, one for each target. */
const SOCKETS_KEPT_MAX = 256;

/** Requests `/healthz` of targets from the network namespace of this process. */
export class HealthAsker {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  stop(): void {
    this.#agent.destroy();
  }

  /** @param isFirst false for the second attempt. */
  ask(target: HealthTarget, isFirst = true): Promise<HealthAnswer> {
    const kept = Object.keys(this.#agent.freeSockets).length < SOCKETS_KEPT_MAX;
    return new Promise((resolve) => {
      const call = request({
        ...{ host: formatAddress(target.address), port: target.port, path: '/healthz' },
        agent: kept ? this.#agent : false,
        signal: AbortSignal.timeout(ANSWER_MS_MAX),
      });
      call.on('response', (response) => {
        response.resume();
        // The result is known. An endless body must not count as a failure.
        response.on('error', () => {});
        const { statusCode } = response;
        resolve(statusCode === 200 ? 'ok' : statusCode === 503 ? 'refused' : 'failed');
      });
      call.on('error', (error: NodeJS.ErrnoException) => {
        // The server may close a kept socket just when it is used again.
        const isStale = call.reusedSocket && error.code === 'ECONNRESET' && isFirst;
        if (isStale) resolve(this.ask(target, false));
        else resolve('failed');
      });
      call.end();
    });
  }
}
