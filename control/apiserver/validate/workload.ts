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
  return [...errors, ...immutable(spec, old?.spec, 'selector')];
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

type Fields = Record<string, unknown>;

export function notNegative(spec: Fields, ...names: string[]): FieldError[] {
  return names
    .filter((name) => (spec[name] as number) < 0)
    .map((name) => wrong(`spec.${name}`, spec[name], NOT_NEGATIVE));
}

/** The errors of immutable fields of a spec that have changed. */
export function immutable(spec: Fields, old: Fields | undefined, ...names: string[]): FieldError[] {
  return names
    .filter((name) => old && !isEqual(spec[name], old[name]))
    .map((name) => wrong(`spec.${name}`, spec[name] ?? null, 'field is immutable'));
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
  const errors = validatePodTemplate('spec.template', template, selector);
  const spec = template?.spec;
  if (!spec) return errors;
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

/** @param at the path of the template. A selector must select its labels. */
export function validatePodTemplate(
  at: string,
  template: any,
  selector: LabelSelector | null,
): FieldError[] {
  if (!template) return [required(at)];
  const { metadata, spec } = template;
  const labels = `${at}.metadata.labels`;
  if (!spec) return [required(`${at}.spec`)];
  const errors = validateLabels(labels, metadata.labels);
  if (selector && !selects(selector, metadata.labels)) {
    const detail = '`selector` does not match template `labels`';
    errors.push(wrong(labels, metadata.labels ?? {}, detail));
  }
  const inner = validatePod(template, undefined);
  return [...errors, ...inner.map((error) => ({ ...error, field: `${at}.${error.field}` }))];
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
  return [...errors, ...notMoreThanAll(field, maxUnavailable)];
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
  return [
    ...notNegative(spec, 'minReadySeconds', 'revisionHistoryLimit'),
    ...validateWorkload('DaemonSet', object, old),
    ...validateDaemonStrategy(spec.updateStrategy),
  ];
}

function validateDaemonStrategy({ type, rollingUpdate }: any): FieldError[] {
  const at = 'spec.updateStrategy';
  if (type === 'OnDelete') return [];
  if (type !== 'RollingUpdate') return oneOf(`${at}.type`, type, UPDATES);
  const shares = ['maxUnavailable', 'maxSurge'] as const;
  const field = (name: string) => `${at}.rollingUpdate.${name}`;
  const errors = shares.flatMap((name) => validateShare(field(name), rollingUpdate[name]));
  if (errors.length > 0) return errors;
  for (const name of shares) errors.push(...notMoreThanAll(field(name), rollingUpdate[name]));
  const [unavailable, surge] = shares.map((name) => Number.parseInt(rollingUpdate[name], 10));
  if (unavailable && surge) {
    const detail = 'may not be set when maxUnavailable is non-zero';
    errors.push(wrong(field('maxSurge'), rollingUpdate.maxSurge, detail));
  } else if (!unavailable && !surge) {
    errors.push(required(field('maxUnavailable'), 'cannot be 0 when maxSurge is 0'));
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
  return notMoreThanAll(field, maxUnavailable);
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above.

function notMoreThanAll(field: string, value: number | string): FieldError[] {
  const isTooMuch = typeof value === 'string' && Number.parseInt(value, 10) > 100;
  return isTooMuch ? [wrong(field, value, 'must not be greater than 100%')] : [];
}

/** A number or a percentage of pods. */
function validateShare(field: string, value: number | string): FieldError[] {
  if (typeof value === 'number') return value < 0 ? [wrong(field, value, NOT_NEGATIVE)] : [];
  return /^[0-9]+%$/.test(value) ? [] : [wrong(field, value, PERCENT_HINT)];
}
