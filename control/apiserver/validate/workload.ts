// Rules of workloads across fields: pkg/apis/apps/validation.

import { isEqual, type KubeObject } from '../../kube/object.ts';
import { type LabelSelector, selects } from '../../model/label-selector.ts';
import { type FieldError, forbidden, required, wrong } from '../status.ts';
import { oneOf } from './formats.ts';
import { validateLabelSelector, validateLabels } from './labels.ts';
import { validatePod } from './pod.ts';
import { validateClaimSpec } from './storage.ts';

const STRATEGIES = ['Recreate', 'RollingUpdate'];
const NOT_NEGATIVE = 'must be greater than or equal to 0';
const PERCENT_HINT =
  "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or " +
  "'93%', regex used for validation is '[0-9]+%')";

export function validateReplicaSet(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const { spec } = object;
  const errors = [
    ...notNegative(spec, 'replicas', 'minReadySeconds'),
    // Upstream's text names deployments for ReplicaSets too.
    ...validateWorkload('Deployment', object, old),
  ];
  return errors;
}

/** Selector and template. `kind` is the name for messages. */
function validateWorkload(
  kind: 'Deployment' | 'StatefulSet' | 'DaemonSet',
  { spec }: KubeObject,
  old: KubeObject | undefined,
): FieldError[] {
  const errors = [
    ...validateChoice(kind, spec.selector),
    ...validateTemplate(kind, spec.template, spec.selector),
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

export function notNegative(spec: Record<string, unknown>, ...names: string[]): FieldError[] {
  return names
    .filter((name) => (spec[name] as number) < 0)
    .map((name) => wrong(`spec.${name}`, spec[name], NOT_NEGATIVE));
}

function validateChoice(kind: string, selector: LabelSelector): FieldError[] {
  const { matchLabels = {}, matchExpressions = [] } = selector;
  if (Object.keys(matchLabels).length + matchExpressions.length === 0) {
    const detail = `empty selector is invalid for ${kind.toLowerCase()}`;
    return [wrong('spec.selector', selector, detail)];
  }
  return validateLabelSelector('spec.selector', selector);
}

// biome-ignore-start lint/suspicious/noExplicitAny: types are checked by the schema before.
function validateTemplate(kind: string, template: any, selector: LabelSelector): FieldError[] {
  if (!template) return [required('spec.template')];
  const { metadata, spec } = template;
  const labels = 'spec.template.metadata.labels';
  if (!spec) return [required('spec.template.spec')];
  const errors = validateLabels(labels, metadata.labels);
  if (!selects(selector, metadata.labels)) {
    const detail = '`selector` does not match template `labels`';
    errors.push(wrong(labels, metadata.labels ?? {}, detail));
  }
  errors.push(...validateTemplatePod('spec.template', template));
  if (spec.restartPolicy === 'OnFailure' || spec.restartPolicy === 'Never') {
    errors.push(...oneOf('spec.template.spec.restartPolicy', spec.restartPolicy, ['Always']));
  }
  if (spec.activeDeadlineSeconds !== undefined) {
    const owner = kind === 'Deployment' ? 'ReplicaSet' : kind;
    const detail = `activeDeadlineSeconds in ${owner} is not Supported`;
    errors.push(forbidden('spec.template.spec.activeDeadlineSeconds', detail));
  }
  return errors;
}

/** Rules of a pod in a template. */
export function validateTemplatePod(at: string, template: any): FieldError[] {
  return validatePod(template, undefined).map((error) => ({
    ...error,
    field: `${at}.${error.field}`,
  }));
}

const MANAGEMENT = ['OrderedReady', 'Parallel'];
const UPDATES = ['OnDelete', 'RollingUpdate'];
const RETENTIONS = ['Retain', 'Delete'];
/** Fields of a StatefulSet that can change. */
const MUTABLE = [
  ...['replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit'],
  ...['persistentVolumeClaimRetentionPolicy', 'minReadySeconds'],
];

export function validateStatefulSet(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const { spec } = object;
  const { podManagementPolicy, ordinals, persistentVolumeClaimRetentionPolicy: retention } = spec;
  const errors: FieldError[] = [];
  if (!MANAGEMENT.includes(podManagementPolicy)) {
    const detail = "must be 'OrderedReady' or 'Parallel'";
    errors.push(wrong('spec.podManagementPolicy', podManagementPolicy, detail));
  }
  errors.push(...validateSetStrategy(spec.updateStrategy));
  for (const when of ['whenDeleted', 'whenScaled']) {
    const field = `spec.persistentVolumeClaimRetentionPolicy.${when}`;
    errors.push(...oneOf(field, retention[when], RETENTIONS));
  }
  errors.push(
    ...notNegative(spec, 'replicas', 'minReadySeconds', 'revisionHistoryLimit'),
    ...validateWorkload('StatefulSet', withClaims(object), undefined),
  );
  if (ordinals?.start < 0) errors.push(wrong('spec.ordinals.start', ordinals.start, NOT_NEGATIVE));
  for (const [i, template] of (spec.volumeClaimTemplates ?? []).entries()) {
    const field = `spec.volumeClaimTemplates[${i}]`;
    if (!template.metadata?.name) errors.push(required(`${field}.metadata.name`));
    errors.push(...validateClaimSpec(`${field}.spec`, template.spec ?? {}));
  }
  const still = (all: any) =>
    Object.fromEntries(Object.entries(all).filter(([name]) => !MUTABLE.includes(name)));
  if (old && !isEqual(still(spec), still(old.spec))) {
    const names = MUTABLE.map((name) => `'${name}'`);
    const list = `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
    const detail = `updates to statefulset spec for fields other than ${list} are forbidden`;
    errors.push(forbidden('spec', detail));
  }
  return errors;
}

function validateSetStrategy({ type, rollingUpdate }: any): FieldError[] {
  const at = 'spec.updateStrategy';
  if (type === 'OnDelete') {
    const detail = "only allowed for updateStrategy 'RollingUpdate'";
    return rollingUpdate ? [wrong(`${at}.rollingUpdate`, rollingUpdate, detail)] : [];
  }
  if (type !== 'RollingUpdate') {
    return [wrong(at, type, "must be 'RollingUpdate' or 'OnDelete'")];
  }
  const { partition, maxUnavailable } = rollingUpdate;
  const errors: FieldError[] = [];
  if (partition < 0) {
    errors.push(wrong(`${at}.rollingUpdate.partition`, partition, NOT_NEGATIVE));
  }
  if (maxUnavailable === undefined) return errors;
  const field = `${at}.rollingUpdate.maxUnavailable`;
  errors.push(...validateShare(field, maxUnavailable));
  const share = Number.parseInt(maxUnavailable, 10);
  if (share === 0) errors.push(wrong(field, maxUnavailable, 'cannot be 0'));
  if (typeof maxUnavailable === 'string' && share > 100) {
    errors.push(wrong(field, maxUnavailable, 'must not be greater than 100%'));
  }
  return errors;
}

/** The set with its claims as volumes of its pods, so that containers can mount them. */
function withClaims(object: KubeObject): KubeObject {
  const { template, volumeClaimTemplates: claims = [] } = object.spec;
  if (!template?.spec) return object;
  const names = claims.map((claim: KubeObject) => claim.metadata?.name);
  const own = (template.spec.volumes ?? []).filter((volume: any) => !names.includes(volume.name));
  const added = names.map((name: string) => ({ name, persistentVolumeClaim: { claimName: name } }));
  const spec = { ...template.spec, volumes: [...own, ...added] };
  return { ...object, spec: { ...object.spec, template: { ...template, spec } } };
}

export function validateDaemonSet(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const { spec } = object;
  const { updateStrategy } = spec;
  const errors = [
    ...notNegative(spec, 'minReadySeconds', 'revisionHistoryLimit'),
    ...validateWorkload('DaemonSet', object, old),
    ...validateUpdates(updateStrategy),
  ];
  if (updateStrategy.type !== 'RollingUpdate') return errors;
  const { maxUnavailable, maxSurge } = updateStrategy.rollingUpdate;
  const at = 'spec.updateStrategy.rollingUpdate';
  const shares = [
    ...validateShare(`${at}.maxUnavailable`, maxUnavailable),
    ...validateShare(`${at}.maxSurge`, maxSurge),
  ];
  if (shares.length > 0) return [...errors, ...shares];
  const [down, up] = [maxUnavailable, maxSurge].map((share) => Number.parseInt(share, 10));
  if (down === 0 && up === 0) {
    const detail = 'cannot be 0 when maxSurge is 0';
    errors.push(wrong(`${at}.maxUnavailable`, maxUnavailable, detail));
  }
  if (down !== 0 && up !== 0) {
    const detail = 'may not be set when maxUnavailable is non-zero';
    errors.push(wrong(`${at}.maxSurge`, maxSurge, detail));
  }
  return errors;
}

function validateUpdates({ type }: any): FieldError[] {
  return oneOf('spec.updateStrategy.type', type, UPDATES);
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
