// Rules of Jobs and CronJobs across fields: pkg/apis/batch/validation.
import { isEqual, type KubeObject } from '../../kube/object.ts';
import { isTimeZone, parseSchedule } from '../../model/schedule.ts';
import { type FieldError, forbidden, notSupported, required, wrong } from '../status.ts';
import { oneOf } from './formats.ts';
import { notNegative, validateTemplatePod } from './workload.ts';

const MODES = ['Indexed', 'NonIndexed'];
const REPLACEMENTS = ['Failed', 'TerminatingOrFailed'];
const CONCURRENCIES = ['Allow', 'Forbid', 'Replace'];
const ACTIONS = ['Count', 'FailJob', 'Ignore'];
const IMMUTABLE = 'field is immutable';
/** A Job's name is that of its CronJob and ten digits of a time, with a dash. */
const CRON_NAME_MAX = 52;
const INDEXES_MAX = 100_000;
const NOT_SERVED = [
  ...['backoffLimitPerIndex', 'managedBy', 'manualSelector', 'maxFailedIndexes', 'successPolicy'],
];
const LIMITS = [
  ...['parallelism', 'completions', 'activeDeadlineSeconds', 'backoffLimit'],
  'ttlSecondsAfterFinished',
];

export function validateJob(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const errors = validateJobSpec('', object.spec);
  if (!old) return errors;
  const { spec } = object;
  for (const name of ['completions', 'selector', 'completionMode', 'podFailurePolicy']) {
    if (!isEqual(spec[name], old.spec[name])) {
      errors.push(wrong(`spec.${name}`, spec[name], IMMUTABLE));
    }
  }
  // A suspended Job that never ran can still change where its pods go.
  const isFree = old.spec.suspend && !old.status?.startTime;
  if (!isFree && !isEqual(spec.template, old.spec.template)) {
    errors.push(wrong('spec.template', spec.template, IMMUTABLE));
  }
  return errors;
}

export function validateCronJob({ metadata, spec }: KubeObject): FieldError[] {
  const errors = [
    ...validateSchedule(spec),
    ...oneOf('spec.concurrencyPolicy', spec.concurrencyPolicy, CONCURRENCIES),
    ...notNegative(
      spec,
      ...['startingDeadlineSeconds', 'successfulJobsHistoryLimit', 'failedJobsHistoryLimit'],
    ),
    ...validateJobSpec('spec.jobTemplate.', spec.jobTemplate.spec ?? {}),
  ];
  if (metadata.name.length > CRON_NAME_MAX) {
    errors.push(wrong('metadata.name', metadata.name, 'must be no more than 52 characters'));
  }
  return errors;
}

// biome-ignore-start lint/suspicious/noExplicitAny: types are checked by the schema before.
function validateSchedule({ schedule, timeZone }: any): FieldError[] {
  if (!schedule) return [required('spec.schedule')];
  if (timeZone !== undefined && !isTimeZone(timeZone)) {
    return [wrong('spec.timeZone', timeZone, `unknown time zone ${timeZone}`)];
  }
  try {
    parseSchedule(schedule, timeZone);
    return [];
  } catch (error) {
    return [wrong('spec.schedule', schedule, (error as Error).message)];
  }
}

/** @param at what comes before `spec`. */
function validateJobSpec(at: string, spec: any): FieldError[] {
  const errors = [
    ...notNegative(spec, ...LIMITS),
    // A CronJob leaves the defaults to its Jobs.
    ...oneOf('spec.completionMode', spec.completionMode ?? 'NonIndexed', MODES),
    ...oneOf('spec.podReplacementPolicy', spec.podReplacementPolicy ?? 'Failed', REPLACEMENTS),
  ];
  for (const name of NOT_SERVED) {
    if (spec[name] === undefined || spec[name] === false) continue;
    const detail = 'is not served: leave the field out';
    errors.push(forbidden(`spec.${name}`, detail));
  }
  if (spec.completionMode === 'Indexed') {
    if (spec.completions === undefined) {
      errors.push(required('spec.completions', 'when completion mode is Indexed'));
    } else if (spec.completions > INDEXES_MAX) {
      const detail = `must be less than or equal to ${INDEXES_MAX}`;
      errors.push(wrong('spec.completions', spec.completions, detail));
    }
  }
  errors.push(...validateTemplate(spec), ...validatePolicy(spec));
  return errors.map((error) => ({ ...error, field: `${at}${error.field}` }));
}

function validateTemplate({ template }: any): FieldError[] {
  if (!template?.spec) return [required('spec.template.spec')];
  const errors = validateTemplatePod('spec.template', template);
  if (template.spec.restartPolicy === 'Always') {
    const detail = 'valid values: "OnFailure", "Never"';
    errors.push(required('spec.template.spec.restartPolicy', detail));
  }
  return errors;
}

function validatePolicy({ podFailurePolicy, template }: any): FieldError[] {
  if (!podFailurePolicy) return [];
  const errors: FieldError[] = [];
  const { restartPolicy } = template?.spec ?? {};
  if (restartPolicy && restartPolicy !== 'Never') {
    const detail = 'only "Never" is supported when podFailurePolicy is specified';
    errors.push(wrong('spec.template.spec.restartPolicy', restartPolicy, detail));
  }
  for (const [i, rule] of (podFailurePolicy.rules ?? []).entries()) {
    const field = `spec.podFailurePolicy.rules[${i}]`;
    const { action, onExitCodes, onPodConditions = [] } = rule;
    if (!ACTIONS.includes(action)) errors.push(notSupported(`${field}.action`, action, ACTIONS));
    if (!onExitCodes && onPodConditions.length === 0) {
      const detail = 'specifying one of OnExitCodes and OnPodConditions is required';
      errors.push(wrong(field, rule, detail));
    } else if (onExitCodes && onPodConditions.length > 0) {
      const detail = 'specifying both OnExitCodes and OnPodConditions is not supported';
      errors.push(wrong(field, rule, detail));
    }
    if (onExitCodes?.operator === 'In' && onExitCodes.values.includes(0)) {
      const detail = 'must not be 0 for the In operator';
      errors.push(wrong(`${field}.onExitCodes.values`, 0, detail));
    }
  }
  return errors;
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above.
