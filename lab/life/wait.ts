// Waits until pods are ready.
import type { KubeClient } from '../../control/kube/client.ts';
import { isNotFound } from '../../control/kube/error.ts';
import type { Pod } from '../../control/kube/kinds.ts';
import { KubetunError } from '../../datapath/error.ts';

const READY_MS_MAX = 60_000;
const POLL_MS = 50;
/** Reasons that do not go away by waiting. */
const HOPELESS = new Set(['ErrImagePull', 'ImagePullBackOff']);

export interface PodName {
  namespace: string;
  name: string;
}

/**
 * Resolves when all these pods are ready or have succeeded. Throws KubetunError KT_POD_NOT_READY
 * with the reason.
 */
export async function waitPodsReady(kube: KubeClient, pods: PodName[]): Promise<void> {
  const until = Date.now() + READY_MS_MAX;
  while (true) {
    const all = (await kube.list('Pod')).items;
    const waiting = pods.filter((pod) => !isServing(findIn(all, pod)));
    if (waiting.length === 0) return;
    const hopeless = waiting.find((pod) => HOPELESS.has(reasonOf(findIn(all, pod)).reason));
    const stuck = hopeless ?? (Date.now() > until ? waiting[0] : undefined);
    if (stuck) throw notReady(stuck, findIn(all, stuck));
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** True if a pod's condition Ready is true. */
export function isReady(pod: Pod | undefined): boolean {
  return pod?.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true;
}

function isServing(pod: Pod | undefined): boolean {
  return isReady(pod) || pod?.status?.phase === 'Succeeded';
}

/**
 * Resolves when a Deployment exists and every pod of it is ready. Throws KubetunError
 * KT_POD_NOT_READY.
 */
export async function waitDeploymentReady(kube: KubeClient, name: PodName): Promise<void> {
  const until = Date.now() + READY_MS_MAX;
  while (true) {
    const found = await kube.get('Deployment', name).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
      return null;
    });
    const ready = found?.status?.readyReplicas ?? 0;
    const wanted = found?.spec?.replicas ?? 1;
    if (ready >= wanted) return;
    if (Date.now() > until) {
      throw new KubetunError(
        'KT_POD_NOT_READY',
        `Deployment ${name.namespace}/${name.name} has ${ready} ready pods, expected ${wanted}`,
        `the lab is up: kubectl get pods -n ${name.namespace} says more`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function findIn(all: Pod[], { namespace, name }: PodName): Pod | undefined {
  return all.find((p) => p.metadata?.name === name && p.metadata.namespace === namespace);
}

function reasonOf(pod: Pod | undefined): { reason: string; message: string } {
  const container = pod?.status?.containerStatuses?.find((c) => c.state?.waiting)?.state?.waiting;
  const condition = pod?.status?.conditions?.find((c) => c.status === 'False' && c.message);
  return {
    reason: container?.reason ?? condition?.reason ?? pod?.status?.reason ?? 'Pending',
    message: container?.message ?? condition?.message ?? pod?.status?.message ?? 'no status yet',
  };
}

function notReady({ namespace, name }: PodName, pod: Pod | undefined): KubetunError {
  const { reason, message } = reasonOf(pod);
  return new KubetunError(
    'KT_POD_NOT_READY',
    `pod ${namespace}/${name} is not ready (${reason}: ${message})`,
    `the lab is up: kubectl describe pod -n ${namespace} ${name} says more`,
  );
}
