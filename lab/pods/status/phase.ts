// The phase of a pod: pkg/kubelet, getPhase.
import type { RestartPolicy } from '../container/context.ts';
import type { ContainerState } from './status.ts';

export type Phase = 'Pending' | 'Running' | 'Succeeded' | 'Failed';

/** States of a pod's containers, apart by what they are for. */
export interface PodContainers {
  /** Init containers that have to end. */
  inits: ContainerState[];
  /** Init containers that go on. */
  sidecars: ContainerState[];
  containers: ContainerState[];
}

/**
 * @param ending true if none of the containers is started again, whatever the restart policy says.
 */
export function phaseOf(
  { inits, sidecars, containers }: PodContainers,
  policy: RestartPolicy,
  ending: boolean,
): Phase {
  if (policy === 'Never' && inits.some(hasFailed)) return 'Failed';
  const initialized = containers.some((c) => endOf(c) !== null || c.state.running);
  if (!initialized) {
    if (inits.some((c) => endOf(c) === null)) return 'Pending';
    if (sidecars.some((c) => !c.started)) return 'Pending';
  }
  if (containers.length === 0 || containers.some((c) => c.state.waiting && endOf(c) === null)) {
    return 'Pending';
  }
  if ([...containers, ...sidecars].some((c) => c.state.running)) return 'Running';
  if (policy === 'Always' && !ending) return 'Running';
  if (!containers.some(hasFailed)) return 'Succeeded';
  return policy === 'Never' || ending ? 'Failed' : 'Running';
}

function hasFailed(container: ContainerState): boolean {
  const code = endOf(container);
  return code !== null && code !== 0;
}

/** The exit code of a container that does not run but has run; null of any other. */
function endOf({ state, lastState }: ContainerState): number | null {
  if (state.running) return null;
  return (state.terminated ?? lastState.terminated)?.exitCode ?? null;
}
