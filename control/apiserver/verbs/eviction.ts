// The subresource eviction of pods, policy/v1: pkg/registry/core/pod/storage/eviction.go. There are
// no PodDisruptionBudgets, so every eviction is allowed.
import { conditionsOf, isObject, type KubeObject, timestamp } from '../../kube/object.ts';
import type { Place } from '../kind.ts';
import { badRequest } from '../status.ts';
import { isDry } from './deletes.ts';
import type { DeleteOptions } from './deletion.ts';
import { servedAt } from './kinds.ts';
import type { Registry } from './registry.ts';

const TYPE = 'DisruptionTarget';

/** The status of a pod that something else than its owner ends. Policies of Jobs read it. */
export function disruptedStatus(
  { status, ...pod }: KubeObject,
  reason: string,
  message: string,
  nowMs: number,
): object {
  const lastTransitionTime = timestamp(nowMs);
  const condition = { type: TYPE, status: 'True', reason, message, lastTransitionTime };
  const others = conditionsOf({ ...pod, status }).filter(({ type }) => type !== TYPE);
  return { ...status, conditions: [...others, condition] };
}

/** Starts the deletion of a pod. Returns a Status. Throws StatusError. */
export function evict(
  registry: Registry,
  place: Place,
  body: unknown,
  options: DeleteOptions,
): object {
  const kind = servedAt('v1', 'pods')!;
  const pod = registry.get(kind, place);
  const metadata = isObject(body) && isObject(body.metadata) ? body.metadata : {};
  if (metadata.name !== place.name) {
    throw badRequest('name in URL does not match name in Eviction object');
  }
  const dryRun = isDry(options);
  const isLive = !['Succeeded', 'Failed'].includes(pod.status?.phase);
  if (isLive && !pod.metadata.deletionTimestamp && !dryRun) {
    const why = ['EvictionByEvictionAPI', 'Eviction API: evicting'] as const;
    const status = disruptedStatus(pod, ...why, Date.now());
    registry.update(kind, place, { ...pod, status }, true);
  }
  registry.remove(kind, place, options, dryRun);
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 };
}
