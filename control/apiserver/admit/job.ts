// Defaults of Jobs and CronJobs: pkg/apis/batch/v1/defaults.go, pkg/registry/batch/job/strategy.go.
import type { KubeObject } from '../../kube/object.ts';
import { ownLabels, UID_LABEL } from '../../model/job.ts';
import { defaultTemplate, fill } from './pod.ts';

const BACKOFF_LIMIT = 6;
const INT32_MAX = 2 ** 31 - 1;

export function defaultJob(object: KubeObject, old: KubeObject | undefined): void {
  object.spec ??= {};
  const { spec, metadata } = object;
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  fill(spec, {
    parallelism: 1,
    // A limit for each index replaces the one for all.
    backoffLimit: spec.backoffLimitPerIndex === undefined ? BACKOFF_LIMIT : INT32_MAX,
    completionMode: 'NonIndexed',
    suspend: false,
    manualSelector: false,
    podReplacementPolicy: spec.podFailurePolicy ? 'Failed' : 'TerminatingOrFailed',
  });
  for (const { onPodConditions = [] } of spec.podFailurePolicy?.rules ?? []) {
    for (const pattern of onPodConditions) fill(pattern, { status: 'True' });
  }
  const labels = spec.template?.metadata?.labels;
  if (labels && Object.keys(metadata.labels ?? {}).length === 0) metadata.labels = { ...labels };
  defaultTemplate(spec);
  if (!old && !spec.manualSelector && spec.template) chooseOwnPods(object);
}

/** Gives a new Job a selector that chooses its own pods only. Labels of the client stay. */
function chooseOwnPods({ metadata, spec }: KubeObject): void {
  spec.template.metadata.labels = { ...ownLabels(metadata), ...spec.template.metadata.labels };
  spec.selector ??= {};
  spec.selector.matchLabels = { [UID_LABEL]: metadata.uid, ...spec.selector.matchLabels };
}

export function defaultCronJob(object: KubeObject): void {
  object.spec ??= {};
  const { spec } = object;
  fill(spec, {
    concurrencyPolicy: 'Allow',
    suspend: false,
    successfulJobsHistoryLimit: 3,
    failedJobsHistoryLimit: 1,
  });
  if (spec.jobTemplate?.spec) {
    spec.jobTemplate.metadata ??= {};
    if (!spec.jobTemplate.metadata.creationTimestamp) {
      delete spec.jobTemplate.metadata.creationTimestamp;
    }
    defaultTemplate(spec.jobTemplate.spec);
  }
}
