// Annotations of a Deployment on its ReplicaSets:
// pkg/controller/deployment/util/deployment_util.go.
import type { KubeObject } from '../../kube/object.ts';
import { isOfTemplate } from '../template.ts';

type Annotations = Record<string, string>;

const PREFIX = 'deployment.kubernetes.io/';
export const REVISION = `${PREFIX}revision`;
const HISTORY = `${PREFIX}revision-history`;
export const DESIRED = `${PREFIX}desired-replicas`;
export const MAX = `${PREFIX}max-replicas`;
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
/** Annotations that a ReplicaSet does not copy from its Deployment. */
const OWN = new Set([REVISION, HISTORY, DESIRED, MAX, LAST_APPLIED]);

export function revisionOf({ metadata }: KubeObject): number {
  return Number(metadata.annotations?.[REVISION]) || 0;
}

/** `replicas` of the Deployment when it last scaled the ReplicaSet. Null if it never did. */
export function desiredOf({ metadata }: KubeObject): number | null {
  const text = metadata.annotations?.[DESIRED];
  return text === undefined ? null : Number(text);
}

/** The maximum of the Deployment's pods when it last scaled the ReplicaSet. 0 if unknown. */
export function maxOf({ metadata }: KubeObject): number {
  return Number(metadata.annotations?.[MAX]) || 0;
}

/**
 * Annotations of the newest ReplicaSet: those of its Deployment, its revision and its earlier
 * revisions.
 */
export function revisionAnnotations(
  deployment: KubeObject,
  old: Annotations,
  revision: number,
): Annotations {
  const given = Object.entries(deployment.metadata.annotations ?? {});
  const annotations = { ...old, ...Object.fromEntries(given.filter(([key]) => !OWN.has(key))) };
  const before = Number(old[REVISION]) || 0;
  if (before >= revision) return annotations;
  annotations[REVISION] = String(revision);
  if (old[REVISION]) {
    const history = old[HISTORY] ? old[HISTORY].split(',') : [];
    annotations[HISTORY] = [...history, old[REVISION]].join(',');
  }
  return annotations;
}

/**
 * Separates the ReplicaSet of a Deployment's template, if it exists, from the others. Oldest first.
 */
export function partSets(
  deployment: KubeObject,
  sets: KubeObject[],
): { newest: KubeObject | undefined; others: KubeObject[] } {
  const sorted = sets.toSorted(byAge);
  const newest = sorted.find((set) => isOfTemplate(set, deployment));
  return { newest, others: sorted.filter((set) => set !== newest) };
}

/** Sorts older sets first. */
export function byAge({ metadata: a }: KubeObject, { metadata: b }: KubeObject): number {
  const age = Date.parse(a.creationTimestamp!) - Date.parse(b.creationTimestamp!);
  return age || (a.name < b.name ? -1 : 1);
}

/** Sets whose `replicas` is above 0. */
export function withReplicas(sets: KubeObject[]): KubeObject[] {
  return sets.filter(({ spec }) => spec.replicas > 0);
}

/** The sum of `replicas`. */
export function totalReplicas(sets: KubeObject[]): number {
  return sets.reduce((sum, { spec }) => sum + spec.replicas, 0);
}

/** The sum of one field of the statuses. */
export function totalOf(
  sets: KubeObject[],
  field: 'replicas' | 'readyReplicas' | 'availableReplicas',
): number {
  return sets.reduce((sum, { status }) => sum + (status?.[field] ?? 0), 0);
}
