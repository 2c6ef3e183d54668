// The conditions of a pod. Source: pkg/kubelet/status/generate.go.
import type { Pod } from '../../../control/kube/kinds.ts';
import type { ContainerState, Phase, PodContainers } from './phase.ts';

export interface Condition {
  type: string;
  status: 'True' | 'False';
  reason?: string;
  message?: string;
}

/** Conditions that a kubelet writes. `network` is true once the sandbox has a network. */
export function conditionsOf(
  pod: Pod,
  phase: Phase,
  containers: PodContainers,
  network: boolean,
): Condition[] {
  const ready = containersReady(phase, containers);
  return [
    { type: 'PodReadyToStartContainers', status: network ? 'True' : 'False' },
    initialized(phase, containers),
    podReady(pod, ready),
    { type: 'ContainersReady', ...ready },
  ];
}

function initialized(phase: Phase, { inits, sidecars, containers }: PodContainers): Condition {
  const type = 'Initialized';
  if (phase === 'Succeeded') return { type, status: 'True', reason: 'PodCompleted' };
  // A sidecar that restarts later does not undo the condition.
  const began = containers.some(({ state, lastState }) =>
    Boolean(state.running || state.terminated || lastState.terminated),
  );
  const open = [
    ...inits.filter((c) => c.state.terminated?.exitCode !== 0),
    ...(began ? [] : sidecars.filter((c) => !c.started)),
  ];
  if (open.length === 0) return { type, status: 'True' };
  return {
    type,
    status: 'False',
    reason: 'ContainersNotInitialized',
    message: `containers with incomplete status: [${namesOf(open)}]`,
  };
}

function containersReady(
  phase: Phase,
  { sidecars, containers }: PodContainers,
): Omit<Condition, 'type'> {
  if (phase === 'Succeeded') return { status: 'False', reason: 'PodCompleted' };
  if (phase === 'Failed') return { status: 'False', reason: 'PodFailed' };
  const unready = [...sidecars, ...containers].filter((c) => !c.ready);
  if (containers.length > 0 && unready.length === 0) return { status: 'True' };
  return {
    status: 'False',
    reason: 'ContainersNotReady',
    message: `containers with unready status: [${namesOf(unready)}]`,
  };
}

/** Other clients can delay it through conditions that the pod names as readiness gates. */
function podReady({ spec, status }: Pod, containers: Omit<Condition, 'type'>): Condition {
  const type = 'Ready';
  const missing = (spec?.readinessGates ?? []).filter(
    ({ conditionType }) =>
      status?.conditions?.find((c) => c.type === conditionType)?.status !== 'True',
  );
  if (containers.status === 'False' || missing.length === 0) return { type, ...containers };
  const message = missing
    .map(
      ({ conditionType }) =>
        `corresponding condition of pod readiness gate "${conditionType}" is not True`,
    )
    .join(', ');
  return { type, status: 'False', reason: 'ReadinessGatesNotReady', message };
}

function namesOf(containers: ContainerState[]): string {
  return containers.map((c) => c.name).join(' ');
}
