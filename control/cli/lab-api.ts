import { connectKube, type KubeClient } from '../kube/client.ts';
import { kubeconfigOf, labFlag } from './options.ts';

/**
 * A person waits for the answer: shorter than the limit of an agent, which asks again by itself.
 */
const ANSWER_MS_MAX = 5000;

/** The API server of a lab, for a command that asks it once. Throws KubetunError KT_KUBECONFIG. */
export function connectLab(
  lab: string,
  next = `scripts/kubetun lab status${labFlag(lab)} shows whether its supervisor runs`,
): KubeClient {
  return connectKube(kubeconfigOf(lab), {}, { msMax: ANSWER_MS_MAX, next });
}
