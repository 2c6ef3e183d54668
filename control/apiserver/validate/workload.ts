// Rules of Deployments and ReplicaSets across fields: pkg/apis/apps/validation.

import { isEqual, type KubeObject } from '../../kube/object.ts';
import { type LabelSelector, selects } from '../../model/label-selector.ts';
import { type FieldError, forbidden, required, wrong } from '../status.ts';
import { oneOf } from './formats.ts';
import { validateLabelSelector, validateLabels } from './labels.ts';
import { validatePod } from './pod.ts';

const STRATEGIES = ['Recreate', 'RollingUpdate'];
const NOT_NEGATIVE = 'must be greater than or equal to 0';
const PERCENT_HINT =
  "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or " +
  "'93%', regex used for validation is '[0-9]+%')";

export function validateReplicaSet(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const { spec } = object;
  const errors = [
    ...notNegative(spec, 'replicas', 'minReadySeconds'),
    ...validateChoice(spec.selector),
    ...validateTemplate(spec.template, spec.selector),
  ];
  if (old && !isEqual(spec.selector, old.spec.selector)) {
    errors.push(wrong('spec.selector', spec.selector, 'field is immutable'));
  }
  return errors;
}

export function validateDeployment(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const { spec } = object;
  const errors = [
    ...validateReplicaSet(object, old),
    ...validateStrategy(spec.strategy),
    ...notNegative(spec, 'revisionHistoryLimit', 'progressDeadlineSeconds'),
  ];
  if (spec.progressDeadlineSeconds <= (spec.minReadySeconds ?? 0)) {
    const detail = 'must be greater than minReadySeconds';
    errors.push(wrong('spec.progressDeadlineSeconds', spec.progressDeadlineSeconds, detail));
  }
  return errors;
}

function notNegative(spec: Record<string, unknown>, ...names: string[]): FieldError[] {
  return names
    .filter((name) => (spec[name] as number) < 0)
    .map((name) => wrong(`spec.${name}`, spec[name], NOT_NEGATIVE));
}

function validateChoice(selector: LabelSelector): FieldError[] {
  const { matchLabels = {}, matchExpressions = [] } = selector;
  if (Object.keys(matchLabels).length + matchExpressions.length === 0) {
    // Upstream's text names deployments for ReplicaSets too.
    return [wrong('spec.selector', selector, 'empty selector is invalid for deployment')];
  }
  return validateLabelSelector('spec.selector', selector);
}

// biome-ignore-start lint/suspicious/noExplicitAny: types are checked by the schema before.
function validateTemplate(template: any, selector: LabelSelector): FieldError[] {
  if (!template) return [required('spec.template')];
  const { metadata, spec } = template;
  const labels = 'spec.template.metadata.labels';
  if (!spec) return [required('spec.template.spec')];
  const errors = validateLabels(labels, metadata.labels);
  if (!selects(selector, metadata.labels)) {
    const detail = '`selector` does not match template `labels`';
    errors.push(wrong(labels, metadata.labels ?? {}, detail));
  }
  for (const error of validatePod(template, undefined)) {
    errors.push({ ...error, field: `spec.template.${error.field}` });
  }
  if (spec.restartPolicy === 'OnFailure' || spec.restartPolicy === 'Never') {
    errors.push(...oneOf('spec.template.spec.restartPolicy', spec.restartPolicy, ['Always']));
  }
  if (spec.activeDeadlineSeconds !== undefined) {
    const detail = 'activeDeadlineSeconds in ReplicaSet is not Supported';
    errors.push(forbidden('spec.template.spec.activeDeadlineSeconds', detail));
  }
  return errors;
}

function validateStrategy(strategy: any): FieldError[] {
  const { type, rollingUpdate } = strategy;
  const at = 'spec.strategy';
  if (type === 'Recreate') {
    const detail = "may not be specified when strategy `type` is 'Recreate'";
    return rollingUpdate ? [forbidden(`${at}.rollingUpdate`, detail)] : [];
  }
  if (type !== 'RollingUpdate') return oneOf(`${at}.type`, type, STRATEGIES);
  const { maxUnavailable, maxSurge } = rollingUpdate;
  const field = `${at}.rollingUpdate.maxUnavailable`;
  const errors = [
    ...validateShare(field, maxUnavailable),
    ...validateShare(`${at}.rollingUpdate.maxSurge`, maxSurge),
  ];
  if (errors.length > 0) return errors;
  if (Number.parseInt(maxUnavailable, 10) === 0 && Number.parseInt(maxSurge, 10) === 0) {
    return [wrong(field, maxUnavailable, 'may not be 0 when `maxSurge` is 0')];
  }
  const tooMuch = typeof maxUnavailable === 'string' && Number.parseInt(maxUnavailable, 10) > 100;
  return tooMuch ? [wrong(field, maxUnavailable, 'must not be greater than 100%')] : [];
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above.

/** A number or a percentage of pods. */
function validateShare(field: string, value: number | string): FieldError[] {
  if (typeof value === 'number') return value < 0 ? [wrong(field, value, NOT_NEGATIVE)] : [];
  return /^[0-9]+%$/.test(value) ? [] : [wrong(field, value, PERCENT_HINT)];
}
