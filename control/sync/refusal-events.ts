// Events on objects that a node does not serve, or only in part. All nodes give an Event the same
// name, so that only the first node creates it.

import type { MonotonicClock } from '../clock.ts';
import type { Refusal } from '../compile/compiler.ts';
import type { KubeClient } from '../kube/client.ts';
import { isNotFound } from '../kube/error.ts';
import { recordWarning } from '../kube/event.ts';
import type { Log } from '../log.ts';

/** Token bucket: this many Events at once, and one more per interval. */
const BURST_MAX = 25;
const REFILL_MS = 10_000;

export class RefusalEvents {
  readonly #client: Pick<KubeClient, 'create' | 'get'>;
  readonly #clock: MonotonicClock;
  readonly #log: Log;
  /** Refusals in force: written, or waiting to be written. */
  #known = new Map<string, Refusal>();
  readonly #waiting = new Map<string, Refusal>();
  #tokens = BURST_MAX;
  #sinceMs = 0;
  #cancel: (() => void) | null = null;
  #stopped = false;

  constructor(client: Pick<KubeClient, 'create' | 'get'>, clock: MonotonicClock, log: Log) {
    this.#client = client;
    this.#clock = clock;
    this.#log = log;
  }

  /** Takes all refusals that are in force now. */
  take(refusals: Refusal[]): void {
    const now = new Map(refusals.map((r) => [`${r.kind} ${r.key} ${r.message}`, r]));
    for (const [id, refusal] of now) {
      if (this.#known.has(id)) continue;
      this.#waiting.set(id, refusal);
      this.#log.warn({ object: `${refusal.kind} ${refusal.key}` }, refusal.message);
    }
    for (const id of this.#waiting.keys()) if (!now.has(id)) this.#waiting.delete(id);
    this.#known = now;
    this.#turn();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  #turn(): void {
    if (this.#stopped) return;
    const refilled = Math.floor((this.#clock.monotonicMs() - this.#sinceMs) / REFILL_MS);
    this.#tokens = Math.min(BURST_MAX, this.#tokens + refilled);
    this.#sinceMs += refilled * REFILL_MS;
    for (const [id, refusal] of this.#waiting) {
      if (this.#tokens === 0) break;
      this.#tokens--;
      this.#waiting.delete(id);
      void this.#write(refusal);
    }
    this.#cancel?.();
    this.#cancel = null;
    if (this.#waiting.size > 0) this.#cancel = this.#clock.after(REFILL_MS, () => this.#turn());
  }

  async #write({ kind, key, reason, message }: Refusal): Promise<void> {
    const [namespace, name] = key.split('/') as [string, string];
    let why: string | null;
    try {
      const object = await this.#client.get(kind, { namespace, name });
      const warning = { kind, key, reason, message, component: 'kubetun', object };
      why = await recordWarning(this.#client, warning);
    } catch (error) {
      if (isNotFound(error)) return; // The object is gone.
      why = String(error);
    }
    if (why) this.#log.warn({ object: `${kind} ${key}`, why }, 'an Event was not written');
  }
}
