// Rules of Jobs and CronJobs across fields: pkg/apis/batch/validation.

import { isEqual, type KubeObject } from '../../kube/object.ts';
import { ownLabels } from '../../model/job.ts';
import { type LabelSelector, selects } from '../../model/label-selector.ts';
import { parseSchedule } from '../../model/schedule.ts';
import { timeZoneError } from '../../model/time-zone.ts';
import { type FieldError, notSupported, required, wrong } from '../status.ts';
import { DNS_LABEL } from './formats.ts';
import { validateFailurePolicy, validateSuccessPolicy } from './job-policy.ts';
import { validateLabelSelector } from './labels.ts';
import { immutable, notNegative, validatePodTemplate } from './workload.ts';

const MODES = ['Indexed', 'NonIndexed'];
const REPLACEMENTS = ['Failed', 'TerminatingOrFailed'];
const CONCURRENCY = ['Allow', 'Forbid', 'Replace'];
const INDEXED_PARALLELISM_MAX = 100_000;
/** Room for the suffix that the names of a CronJob's Jobs have: minutes since 1970. */
const CRON_NAME_MAX = 52;
const NUMBERS = [
  ...['parallelism', 'completions', 'activeDeadlineSeconds', 'backoffLimit'],
  ...['ttlSecondsAfterFinished', 'backoffLimitPerIndex', 'maxFailedIndexes'],
];
const KEPT = [
  ...['selector', 'completionMode', 'podFailurePolicy', 'backoffLimitPerIndex'],
  ...['managedBy', 'successPolicy'],
];

// biome-ignore-start lint/suspicious/noExplicitAny: types are checked by the schema before.
export function validateJob(
  { metadata, spec, status }: KubeObject,
  old?: KubeObject,
): FieldError[] {
  const errors = old ? [] : validateOwnSelector(metadata, spec);
  errors.push(...validateSpec('spec', spec, spec.selector ?? null));
  if (!spec.selector) errors.push(required('spec.selector'));
  else errors.push(...validateLabelSelector('spec.selector', spec.selector));
  if (!old && spec.completionMode === 'Indexed' && spec.completions > 0) {
    const hostname = `${metadata.name}-${spec.completions - 1}`;
    if (!DNS_LABEL.test(hostname)) {
      const detail = `will not able to create pod with invalid DNS label: "${hostname}"`;
      errors.push(wrong('metadata.name', metadata.name, `${detail}: ${DNS_LABEL.hint}`));
    }
  }
  if (!old) return errors;
  errors.push(...immutable(spec, old.spec, ...KEPT));
  const isElastic = spec.completionMode === 'Indexed' && spec.completions === spec.parallelism;
  if (!isElastic) errors.push(...immutable(spec, old.spec, 'completions'));
  const isWaiting = old.spec.suspend && !status?.startTime;
  const kept = isWaiting ? [unplaced(spec), unplaced(old.spec)] : [spec, old.spec];
  return [...errors, ...immutable(kept[0], kept[1], 'template')];
}

/** Without `manualSelector`, a Job has the labels and a selector that choose its own pods only. */
function validateOwnSelector(metadata: KubeObject['metadata'], spec: any): FieldError[] {
  if (spec.manualSelector || !spec.selector) return [];
  const own = ownLabels(metadata);
  const labels = spec.template?.metadata?.labels ?? {};
  const errors = Object.entries(own)
    .filter(([key, value]) => labels[key] !== value)
    .map(([key, value]) =>
      wrong(`spec.template.metadata.labels[${key}]`, labels, `must be '${value}'`),
    );
  if (selects(spec.selector, own)) return errors;
  return [...errors, wrong('spec.selector', spec.selector, '`selector` not auto-generated')];
}

/** A template without the fields that choose a node: a Job may change these until it starts. */
function unplaced({ template }: any): any {
  const { metadata, spec } = template;
  const { labels: _, annotations: __, ...named } = metadata ?? {};
  const placed = ['nodeSelector', 'tolerations', 'affinity', 'schedulingGates'];
  const rest = Object.entries(spec).filter(([field]) => !placed.includes(field));
  return { template: { metadata: named, spec: Object.fromEntries(rest) } };
}

function validateSpec(at: string, spec: any, selector: LabelSelector | null): FieldError[] {
  const errors = notNegative(spec, ...NUMBERS);
  const { completionMode, podReplacementPolicy, template } = spec;
  const isIndexed = completionMode === 'Indexed';
  if (completionMode !== undefined && !MODES.includes(completionMode)) {
    errors.push(notSupported(`${at}.completionMode`, completionMode, MODES));
  }
  if (isIndexed && spec.completions === undefined) {
    errors.push(required(`${at}.completions`, 'when completion mode is Indexed'));
  }
  if (isIndexed && spec.parallelism > INDEXED_PARALLELISM_MAX) {
    const most = `must be less than or equal to ${INDEXED_PARALLELISM_MAX}`;
    const detail = `${most} when completion mode is Indexed`;
    errors.push(wrong(`${at}.parallelism`, spec.parallelism, detail));
  }
  if (podReplacementPolicy !== undefined) {
    if (spec.podFailurePolicy && podReplacementPolicy !== 'Failed') {
      errors.push(notSupported(`${at}.podReplacementPolicy`, podReplacementPolicy, ['Failed']));
    } else if (!REPLACEMENTS.includes(podReplacementPolicy)) {
      errors.push(notSupported(`${at}.podReplacementPolicy`, podReplacementPolicy, REPLACEMENTS));
    }
  }
  errors.push(
    ...validateIndexLimits(at, spec, isIndexed),
    ...(spec.podFailurePolicy ? validateFailurePolicy(`${at}.podFailurePolicy`, spec) : []),
    ...(spec.successPolicy ? validateSuccessPolicy(`${at}.successPolicy`, spec) : []),
    ...validatePodTemplate(`${at}.template`, template, selector),
  );
  if (template?.spec) errors.push(...validateRestarts(at, spec));
  return errors;
}

function validateIndexLimits(at: string, spec: any, isIndexed: boolean): FieldError[] {
  const errors: FieldError[] = [];
  const { backoffLimitPerIndex, maxFailedIndexes, completions } = spec;
  if (backoffLimitPerIndex !== undefined && !isIndexed) {
    const detail = 'requires indexed completion mode';
    errors.push(wrong(`${at}.backoffLimitPerIndex`, backoffLimitPerIndex, detail));
  }
  if (maxFailedIndexes === undefined) return errors;
  if (backoffLimitPerIndex === undefined) {
    const detail = 'when maxFailedIndexes is specified';
    errors.push(required(`${at}.backoffLimitPerIndex`, detail));
  }
  if (completions !== undefined && maxFailedIndexes > completions) {
    const detail = 'must be less than or equal to completions';
    errors.push(wrong(`${at}.maxFailedIndexes`, maxFailedIndexes, detail));
  }
  return errors;
}

function validateRestarts(at: string, spec: any): FieldError[] {
  const { restartPolicy } = spec.template.spec;
  const field = `${at}.template.spec.restartPolicy`;
  // `Always` is the default of a template, so it counts as absent.
  if (restartPolicy === 'Always') return [required(field, 'valid values: "OnFailure", "Never"')];
  if (restartPolicy === 'Never') return [];
  if (restartPolicy !== 'OnFailure') {
    return [notSupported(field, restartPolicy, ['OnFailure', 'Never'])];
  }
  const needs = ['podFailurePolicy', 'backoffLimitPerIndex'].filter(
    (name) => spec[name] !== undefined,
  );
  return needs.map((name) =>
    wrong(field, restartPolicy, `only "Never" is supported when ${name} is specified`),
  );
}

export function validateCronJob({ metadata, spec }: KubeObject, old?: KubeObject): FieldError[] {
  const errors = notNegative(
    spec,
    ...['startingDeadlineSeconds', 'successfulJobsHistoryLimit', 'failedJobsHistoryLimit'],
  );
  if (!old && (metadata.name ?? '').length > CRON_NAME_MAX) {
    errors.push(wrong('metadata.name', metadata.name, 'must be no more than 52 characters'));
  }
  if (!CONCURRENCY.includes(spec.concurrencyPolicy)) {
    errors.push(notSupported('spec.concurrencyPolicy', spec.concurrencyPolicy, CONCURRENCY));
  }
  errors.push(...validateSchedule(spec), ...validateTimeZone(spec, old?.spec));
  const job = spec.jobTemplate?.spec;
  if (!job) return [...errors, required('spec.jobTemplate.spec')];
  if (job.selector) {
    const detail = '`selector` will be auto-generated';
    errors.push(wrong('spec.jobTemplate.spec.selector', job.selector, detail));
  }
  if (job.manualSelector) {
    const field = 'spec.jobTemplate.spec.manualSelector';
    errors.push(notSupported(field, job.manualSelector, ['nil', 'false']));
  }
  return [...errors, ...validateSpec('spec.jobTemplate.spec', job, null)];
}

function validateSchedule({ schedule }: any): FieldError[] {
  if (!schedule) return [required('spec.schedule')];
  if (/TZ=/.test(schedule)) {
    const detail = 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead';
    return [wrong('spec.schedule', schedule, detail)];
  }
  try {
    parseSchedule(schedule);
    return [];
  } catch (error) {
    return [wrong('spec.schedule', schedule, (error as Error).message)];
  }
}

function validateTimeZone({ timeZone }: any, old: any): FieldError[] {
  if (timeZone === undefined || (old && isEqual(old.timeZone, timeZone))) return [];
  const field = 'spec.timeZone';
  if (timeZone === '') return [wrong(field, timeZone, 'must be nil or non-empty string')];
  if (timeZone.toLowerCase() === 'local') {
    const detail =
      'timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones';
    return [wrong(field, timeZone, detail)];
  }
  const why = timeZoneError(timeZone);
  return why === null ? [] : [wrong(field, timeZone, why)];
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above.
