// The status of a pod as a kubelet reports it.
import type { Pod } from '../../../control/kube/kinds.ts';
import { type Condition, conditionsOf } from './conditions.ts';
import type { ContainerState, Phase, PodContainers } from './phase.ts';

export interface PodState extends PodContainers {
  phase: Phase;
  podIP: string;
  hostIP: string;
  startTime: string;
  /** Why the whole pod cannot run. Null if it can. */
  problem: { reason: string; message: string } | null;
}

/** Conditions that a kubelet owns. */
const OWN = ['PodReadyToStartContainers', 'Initialized', 'Ready', 'ContainersReady'];

/** The status of a pod. Conditions of other owners stay. */
export function buildStatus(pod: Pod, state: PodState): object {
  const others = (pod.status?.conditions ?? []).filter(({ type }) => !OWN.includes(type));
  const scheduled = others.some(({ type }) => type === 'PodScheduled');
  const own = conditionsOf(pod, state.phase, state, state.podIP !== '');
  // In the order of the pod's spec. Sidecars are among the init containers.
  const done = state.inits.map((c) => ({ ...c, ready: c.state.terminated?.exitCode === 0 }));
  const inits = (pod.spec?.initContainers ?? []).flatMap(({ name }) =>
    [...done, ...state.sidecars].filter((c) => c.name === name),
  );
  return {
    phase: state.phase,
    // Null removes the value of an earlier problem in a merge.
    reason: state.problem?.reason ?? null,
    message: state.problem?.message ?? null,
    hostIP: state.hostIP,
    hostIPs: [{ ip: state.hostIP }],
    ...(state.podIP && { podIP: state.podIP, podIPs: [{ ip: state.podIP }] }),
    startTime: state.startTime,
    conditions: [
      ...own.map((condition) => timed(pod, condition)),
      ...others,
      ...(scheduled ? [] : [timed(pod, { type: 'PodScheduled', status: 'True' })]),
    ],
    ...(inits.length > 0 && { initContainerStatuses: inits.map(describe) }),
    containerStatuses: state.containers.map(describe),
  };
}

function describe(container: ContainerState): object {
  const { name, image, id, ready, started, restarts, state, lastState } = container;
  return {
    name,
    image,
    imageID: `kubetun://${image}`,
    ...(id && { containerID: id }),
    ready,
    started,
    restartCount: restarts,
    state,
    lastState,
  };
}

/** A condition with its last transition time. */
function timed(pod: Pod, condition: Condition): object {
  const before = pod.status?.conditions?.find(({ type }) => type === condition.type);
  const same = before?.status === condition.status;
  const lastTransitionTime = same ? before.lastTransitionTime : timestamp();
  return { ...condition, lastProbeTime: null, lastTransitionTime };
}

export function timestamp(ms = Date.now()): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
