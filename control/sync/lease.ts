// A sign of life of a node, where no kubelet gives one: pkg/kubelet,
// component-helpers/apimachinery/lease.

import type { MonotonicClock } from '../clock.ts';
import type { KubeClient } from '../kube/client.ts';
import { isNotFound } from '../kube/error.ts';
import type { Log } from '../log.ts';

const NAMESPACE = 'kube-node-lease';
/** Four of these may be lost before a node counts as gone. */
const RENEW_MS = 5000;
const LEASE_S = 20;
/** A node that has nothing to say yet is asked again so soon. */
const POLL_MS = 100;

export interface LeaseOptions {
  client: Pick<KubeClient, 'create' | 'patch'>;
  node: string;
  /** False while the datapath does not forward by the cluster's tables yet. */
  isReady: () => boolean;
  clock: MonotonicClock;
  log: Log;
}

/** Renews the Lease of a node as long as it is ready, until the returned function is called. */
export function keepLease({ client, node, isReady, clock, log }: LeaseOptions): () => void {
  const place = { namespace: NAMESPACE, name: node };
  let cancel = () => {};
  let stopped = false;
  let isFailing = false;
  const renew = async () => {
    const renewTime = microTime();
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
      // Once: the API server may be away for long, and the informers say so as well.
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

/** Now, with six digits after the second: clients written in Go accept no other number of them. */
function microTime(): string {
  return new Date().toISOString().replace('Z', '000Z');
}
