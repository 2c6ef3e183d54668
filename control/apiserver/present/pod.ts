// Columns of pods: printPod of pkg/printers/internalversion.
import { isReady, type KubeObject } from '../../kube/object.ts';
import { formatAge } from './cells.ts';

export interface ContainerStatus {
  name: string;
  ready?: boolean;
  started?: boolean;
  restartCount?: number;
  state?: {
    running?: object;
    waiting?: { reason?: string };
    terminated?: { reason?: string; exitCode?: number; signal?: number };
  };
  lastState?: { terminated?: { finishedAt?: string } };
}

/** `1/2`: ready containers of all containers, sidecars included. */
export function podReady(pod: KubeObject): string {
  const sidecars = sidecarsOf(pod);
  const ready = [
    ...statuses(pod, 'containerStatuses').filter((s) => s.ready && s.state?.running),
    ...statuses(pod, 'initContainerStatuses').filter((s) => s.ready && sidecars.has(s.name)),
  ];
  return `${ready.length}/${(pod.spec?.containers?.length ?? 0) + sidecars.size}`;
}

function sidecarsOf({ spec }: KubeObject): Set<string> {
  const inits = (spec?.initContainers ?? []) as { name: string; restartPolicy?: string }[];
  return new Set(inits.filter((c) => c.restartPolicy === 'Always').map((c) => c.name));
}

/** `Running`, `CrashLoopBackOff`, `Init:0/1`, `Terminating`, ... */
export function podStatus(pod: KubeObject): string {
  const { status = {}, metadata } = pod;
  const own = status.reason ?? status.phase ?? 'Unknown';
  const ended = ['Succeeded', 'Failed'].includes(status.phase);
  if (metadata.deletionTimestamp && !ended) return 'Terminating';
  return initStatus(pod) ?? containerReason(pod, own);
}

/** `3 (5m ago)`. */
export function podRestarts(pod: KubeObject): string {
  const all = statuses(pod, 'containerStatuses');
  const count = all.reduce((sum, s) => sum + (s.restartCount ?? 0), 0);
  const times = all.map((s) => s.lastState?.terminated?.finishedAt ?? '').sort();
  const last = times.at(-1);
  return count > 0 && last ? `${count} (${formatAge(last)} ago)` : String(count);
}

/** Null once all init containers are done. */
function initStatus(pod: KubeObject): string | null {
  const total = pod.spec?.initContainers?.length ?? 0;
  const sidecars = sidecarsOf(pod);
  for (const [i, init] of statuses(pod, 'initContainerStatuses').entries()) {
    const { terminated, waiting } = init.state ?? {};
    if (terminated?.exitCode === 0 || (init.started && sidecars.has(init.name))) continue;
    if (terminated) return `Init:${terminated.reason || exitOf(terminated)}`;
    if (waiting?.reason && waiting.reason !== 'PodInitializing') return `Init:${waiting.reason}`;
    return `Init:${i}/${total}`;
  }
  return null;
}

/** The reason of the first container that has one. */
function containerReason(pod: KubeObject, own: string): string {
  const all = statuses(pod, 'containerStatuses');
  for (const { state } of all) {
    if (state?.waiting?.reason) return state.waiting.reason;
    if (!state?.terminated) continue;
    const reason = state.terminated.reason || exitOf(state.terminated);
    if (reason !== 'Completed' || !all.some((s) => s.state?.running)) return reason;
    return isReady(pod) ? 'Running' : 'NotReady';
  }
  return own;
}

function exitOf({ signal, exitCode }: { signal?: number; exitCode?: number }): string {
  return signal ? `Signal:${signal}` : `ExitCode:${exitCode ?? 0}`;
}

function statuses({ status }: KubeObject, field: string): ContainerStatus[] {
  return (status?.[field] ?? []) as ContainerStatus[];
}
