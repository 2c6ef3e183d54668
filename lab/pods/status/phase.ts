// The phase of a pod. Source: pkg/kubelet, getPhase.

/** Whether a container is started again. */
export type RestartPolicy = 'Always' | 'OnFailure' | 'Never';

export type Phase = 'Pending' | 'Running' | 'Succeeded' | 'Failed';

/** ContainerStateTerminated of the API. */
export interface Terminated {
  exitCode: number;
  reason: string;
  message?: string;
  startedAt: string;
  finishedAt: string;
  containerID: string;
}

/** ContainerState of the API. At most one field is set. */
export interface State {
  waiting?: { reason: string; message?: string };
  running?: { startedAt: string };
  terminated?: Terminated;
}

/** The state of one container. */
export interface ContainerState {
  name: string;
  image: string;
  ready: boolean;
  started: boolean;
  restarts: number;
  state: State;
  lastState: State;
  id: string;
}

/** States of a pod's containers, grouped by role. */
export interface PodContainers {
  /** Init containers that run to their end. */
  inits: ContainerState[];
  /** Init containers that keep running. */
  sidecars: ContainerState[];
  containers: ContainerState[];
}

/** @param ending true if no container is restarted, whatever the restart policy. */
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

/** Last exit code of a container that is not running. Null if it runs or never ran. */
function endOf({ state, lastState }: ContainerState): number | null {
  if (state.running) return null;
  return (state.terminated ?? lastState.terminated)?.exitCode ?? null;
}
