// Which of several controllers writes status and events: the holder of a Lease. Source: client-go,
// tools/leaderelection.
import type { MonotonicClock } from '../../clock.ts';
import type { KubeClient, KubeName } from '../../kube/client.ts';
import { isNotFound } from '../../kube/error.ts';
import type { KubeKinds } from '../../kube/kinds.ts';
import type { Log } from '../../log.ts';

/** A holder that has not renewed for this time is replaced. */
const LEASE_S = 10;
const RENEW_MS = 3000;
/** A holder that cannot renew for this time stops before another one begins. */
const GIVE_UP_MS = 7000;

type Lease = KubeKinds['Lease'];

export interface LeaderOptions {
  client: Pick<KubeClient, 'get' | 'create' | 'patch'>;
  lease: KubeName;
  /** Name of this controller. */
  identity: string;
  clock: MonotonicClock;
  log: Log;
  onLeading: () => void;
}

export class Leader {
  readonly #options: LeaderOptions;
  /** The last version of another holder's Lease, and when it was seen first. */
  #seen = { version: '', atMs: 0 };
  /** When this controller began its last successful renewal. */
  #renewedMs = Number.NEGATIVE_INFINITY;
  #wasLeading = false;
  #cancel = () => {};
  #stopped = false;

  constructor(options: LeaderOptions) {
    this.#options = options;
  }

  get isLeading(): boolean {
    return this.#options.clock.monotonicMs() - this.#renewedMs < GIVE_UP_MS;
  }

  /** Asks for the Lease from now on. */
  start(): void {
    void this.#turn();
  }

  /** Gives the Lease back, so that another controller leads at once. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    if (!this.isLeading) return;
    this.#renewedMs = Number.NEGATIVE_INFINITY;
    const { client, lease } = this.#options;
    await client.patch('Lease', lease, { spec: { holderIdentity: '' } }).catch(() => {});
  }

  async #turn(): Promise<void> {
    const { clock, log, identity, onLeading } = this.#options;
    try {
      const startMs = clock.monotonicMs();
      if (await this.#acquire(startMs)) this.#renewedMs = startMs;
      else this.#renewedMs = Number.NEGATIVE_INFINITY;
    } catch (error) {
      if (this.#wasLeading) log.warn({ why: String(error) }, 'the Lease is not renewed');
    }
    if (this.isLeading && !this.#wasLeading) {
      log.info({ identity }, 'this controller writes status and events');
      onLeading();
    }
    this.#wasLeading = this.isLeading;
    if (!this.#stopped) this.#cancel = clock.after(RENEW_MS, () => void this.#turn());
  }

  async #acquire(nowMs: number): Promise<boolean> {
    const { client, lease, identity } = this.#options;
    const found = await client.get('Lease', lease).catch((error: unknown) => {
      if (isNotFound(error)) return null;
      throw error;
    });
    // Six fractional digits: clients written in Go accept no other number.
    const now = new Date().toISOString().replace('Z', '000Z');
    const spec = { holderIdentity: identity, leaseDurationSeconds: LEASE_S, renewTime: now };
    if (!found) {
      const metadata = { namespace: lease.namespace!, name: lease.name };
      await client.create('Lease', { metadata, spec: { ...spec, acquireTime: now } } as Lease);
      return true;
    }
    const { holderIdentity = '', leaseTransitions = 0 } = found.spec ?? {};
    const version = found.metadata?.resourceVersion ?? '';
    if (holderIdentity !== identity && holderIdentity !== '') {
      // Clocks of holders differ, so only the time since a renewal was seen counts.
      if (version !== this.#seen.version) this.#seen = { version, atMs: nowMs };
      if (nowMs - this.#seen.atMs < LEASE_S * 1000) return false;
    }
    const taken = holderIdentity !== identity && {
      acquireTime: now,
      leaseTransitions: leaseTransitions + 1,
    };
    // The version makes the write of the second of two controllers a conflict.
    const change = { metadata: { resourceVersion: version }, spec: { ...spec, ...taken } };
    await client.patch('Lease', lease, change);
    return true;
  }
}
