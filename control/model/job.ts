// Labels that a Job gives to its pods: pkg/registry/batch/job/strategy.go.
import type { KubeObject } from '../kube/object.ts';

export const UID_LABEL = 'batch.kubernetes.io/controller-uid';
const JOB_LABEL = 'batch.kubernetes.io/job-name';

/** Labels of the pods of a Job without `manualSelector`. */
export function ownLabels({ uid, name }: KubeObject['metadata']): Record<string, string> {
  return {
    [UID_LABEL]: uid!,
    [JOB_LABEL]: name,
    // The names of older clients.
    'controller-uid': uid!,
    'job-name': name,
  };
}
