// The status of a pod as a kubelet reports it.
import type { Pod } from '../../control/kube/kinds.ts';

type Condition = { type: string; status: string; reason?: string; message?: string };

/** What is known of one container. */
export interface ContainerState {
  name: string;
  image: string;
  ready: boolean;
  restarts: number;
  state: object;
  lastState: object;
  id: string;
}

export interface PodState {
  phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed';
  podIP: string;
  hostIP: string;
  startTime: string;
  containers: ContainerState[];
  /** Why the pod as a whole cannot run; null if it can. */
  problem: { reason: string; message: string } | null;
}

/** The status to write for a pod; conditions that others own stay. */
export function buildStatus(pod: Pod, state: PodState): object {
  const allReady = state.containers.length > 0 && state.containers.every((c) => c.ready);
  const waiting = state.containers.filter((c) => !c.ready).map((c) => c.name);
  const notReady = {
    reason: 'ContainersNotReady',
    message: `containers with unready status: [${waiting.join(' ')}]`,
  };
  const ready = (type: string) => condition(pod, type, allReady, allReady ? {} : notReady);
  const kept = (pod.status?.conditions ?? []).filter((c) => c.type === 'PodScheduled');
  const scheduled = kept.length > 0 ? kept : [condition(pod, 'PodScheduled', true, {})];
  return {
    phase: state.phase,
    // Null takes out of a merge what an earlier problem has left.
    reason: state.problem?.reason ?? null,
    message: state.problem?.message ?? null,
    hostIP: state.hostIP,
    hostIPs: [{ ip: state.hostIP }],
    ...(state.podIP && { podIP: state.podIP, podIPs: [{ ip: state.podIP }] }),
    startTime: state.startTime,
    conditions: [
      condition(pod, 'Initialized', true, {}),
      ready('Ready'),
      ready('ContainersReady'),
      ...scheduled,
    ],
    containerStatuses: state.containers.map((c) => ({
      name: c.name,
      image: c.image,
      imageID: `kubetun://${c.image}`,
      containerID: c.id,
      ready: c.ready,
      started: c.ready,
      restartCount: c.restarts,
      state: c.state,
      lastState: c.lastState,
    })),
  };
}

/** A condition, with the time at which it last changed. */
function condition(pod: Pod, type: string, holds: boolean, why: Partial<Condition>): object {
  const status = holds ? 'True' : 'False';
  const before = pod.status?.conditions?.find((c) => c.type === type);
  const same = before?.status === status;
  const lastTransitionTime = same ? before.lastTransitionTime : timestamp();
  return { type, status, ...why, lastProbeTime: null, lastTransitionTime };
}

export function timestamp(ms = Date.now()): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
