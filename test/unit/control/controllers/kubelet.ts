// Sets the status of pods as a kubelet would, for worlds without nodes.
import type { KubeObject } from '../../../../control/kube/object.ts';
import type { World } from './world.ts';

type Pods = Pick<World, 'list' | 'patchStatus' | 'remove' | 'clock'>;

/** Marks a pod as running and ready. */
export function makeReady(world: Pods, { metadata }: KubeObject): void {
  const lastTransitionTime = new Date(world.clock.unixMs()).toISOString();
  const conditions = [{ type: 'Ready', status: 'True', lastTransitionTime }];
  world.patchStatus('Pod', metadata.name, { phase: 'Running', conditions });
}

/**
 * The next step of a kubelet: a deleted pod ends, or a pod becomes ready. False
 * if there is none.
 */
export function stepPod(
  world: Pods,
  pick: (pods: KubeObject[]) => KubeObject = (pods) => pods[0]!,
): boolean {
  const open = world.list('Pod').filter(({ metadata, status }) => {
    return metadata.deletionTimestamp || status.phase === 'Pending';
  });
  if (open.length === 0) return false;
  const pod = pick(open);
  if (pod.metadata.deletionTimestamp) world.remove('Pod', pod.metadata.name);
  else makeReady(world, pod);
  return true;
}

/** Runs steps until none is left. Calls `look` in every state on the way. */
export async function settle(
  world: Pods & Pick<World, 'idle'>,
  look: () => void = () => {},
): Promise<void> {
  do {
    await world.idle();
    look();
  } while (stepPod(world));
}
