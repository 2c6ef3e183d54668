// Heartbeat of a node without a kubelet. Source: component-helpers/apimachinery/lease.

import type { MonotonicClock } from '../clock.ts';
import type { KubeClient } from '../kube/client.ts';
import { isNotFound } from '../kube/error.ts';
import type { Log } from '../log.ts';

const NAMESPACE = 'kube-node-lease';
/** Four lost renewals make the node count as gone. */
const RENEW_MS = 5000;
const LEASE_S = 20;
/** Interval between readiness checks before the first renewal. */
const POLL_MS = 100;

export interface LeaseOptions {
  client: Pick<KubeClient, 'create' | 'patch'>;
  node: string;
  /** False until the datapath forwards by the cluster's tables. */
  isReady: () => boolean;
  clock: MonotonicClock;
  log: Log;
}

/** Renews the Lease of a node while it is ready. Call the result to stop. */
export function keepLease({ client, node, isReady, clock, log }: LeaseOptions): () => void {
  const place = { namespace: NAMESPACE, name: node };
  let cancel = () => {};
  let stopped = false;
  let isFailing = false;
  const renew = async () => {
    // Six fractional digits: clients written in Go accept no other number.
    const renewTime = new Date().toISOString().replace('Z', '000Z');
    const spec = { holderIdentity: node, leaseDurationSeconds: LEASE_S, renewTime };
    await client.patch('Lease', place, { spec }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
      return client.create('Lease', { metadata: place, spec: { ...spec, acquireTime: renewTime } });
    });
  };
  const turn = async () => {
    if (!isReady()) return later(POLL_MS);
    try {
      await renew();
      isFailing = false;
    } catch (error) {
      // Logged once: the informers report an absent API server too.
      if (!isFailing) log.warn({ why: String(error) }, 'the lease of the node is not renewed');
      isFailing = true;
    }
    later(RENEW_MS);
  };
  const later = (ms: number) => {
    if (!stopped) cancel = clock.after(ms, () => void turn());
  };
  void turn();
  return () => {
    stopped = true;
    cancel();
  };
}
