// What a Deployment writes on its ReplicaSets: pkg/controller/deployment/util/deployment_util.go.
import type { KubeObject } from '../../kube/object.ts';
import { isOfTemplate } from './template.ts';

type Annotations = Record<string, string>;

const PREFIX = 'deployment.kubernetes.io/';
export const REVISION = `${PREFIX}revision`;
const HISTORY = `${PREFIX}revision-history`;
export const DESIRED = `${PREFIX}desired-replicas`;
export const MAX = `${PREFIX}max-replicas`;
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
/** What is said of a Deployment, or of a ReplicaSet, and not of both. */
const OWN = new Set([REVISION, HISTORY, DESIRED, MAX, LAST_APPLIED]);

export function revisionOf({ metadata }: KubeObject): number {
  return Number(metadata.annotations?.[REVISION]) || 0;
}

/**
 * The number of pods that its Deployment had when a ReplicaSet was last scaled; null if it never
 * was.
 */
export function desiredOf({ metadata }: KubeObject): number | null {
  const text = metadata.annotations?.[DESIRED];
  return text === undefined ? null : Number(text);
}

/**
 * The most pods that its Deployment could have when a ReplicaSet was last scaled; 0 if nobody
 * knows.
 */
export function maxOf({ metadata }: KubeObject): number {
  return Number(metadata.annotations?.[MAX]) || 0;
}

/**
 * Annotations of the newest ReplicaSet: those of its Deployment, and its revision, with those it
 * had before.
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
 * The ReplicaSet of a Deployment's template if there is one, and all others; the oldest come first.
 */
export function partSets(
  deployment: KubeObject,
  sets: KubeObject[],
): { newest: KubeObject | undefined; others: KubeObject[] } {
  const sorted = sets.toSorted(byAge);
  const newest = sorted.find((set) => isOfTemplate(set, deployment));
  return { newest, others: sorted.filter((set) => set !== newest) };
}

/** The older first. */
export function byAge({ metadata: a }: KubeObject, { metadata: b }: KubeObject): number {
  const age = Date.parse(a.creationTimestamp!) - Date.parse(b.creationTimestamp!);
  return age || (a.name < b.name ? -1 : 1);
}

/** Sets that have or want pods. */
export function withReplicas(sets: KubeObject[]): KubeObject[] {
  return sets.filter(({ spec }) => spec.replicas > 0);
}

/** Pods that sets are asked to have. */
export function totalReplicas(sets: KubeObject[]): number {
  return sets.reduce((sum, { spec }) => sum + spec.replicas, 0);
}

/** The sum of one number in the statuses of sets. */
export function totalOf(
  sets: KubeObject[],
  field: 'replicas' | 'readyReplicas' | 'availableReplicas',
): number {
  return sets.reduce((sum, { status }) => sum + (status?.[field] ?? 0), 0);
}
