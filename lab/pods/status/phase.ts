// The phase of a pod: pkg/kubelet, getPhase.

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

/** ContainerState of the API: one of these. */
export interface State {
  waiting?: { reason: string; message?: string };
  running?: { startedAt: string };
  terminated?: Terminated;
}

/** What is known of one container. */
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
