// Finds the container of a request for a log, a command or a port. The pod runner gets the request
// with the container's name.

import type { KubeObject } from '../../kube/object.ts';
import type { ContainerStatus } from '../present/pod.ts';
import { badRequest } from '../status.ts';
import { servedAt } from '../verbs/kinds.ts';
import type { Registry } from '../verbs/registry.ts';

const PATH = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)\/(log|exec|attach|portforward)$/;
const DEFAULT_CONTAINER = 'kubectl.kubernetes.io/default-container';

/** True if a path names a stream of a pod. */
export function isPodStream(path: string): boolean {
  return PATH.test(path);
}

/**
 * The path to ask the pod's node for. Throws StatusError NotFound, or BadRequest in upstream's
 * words (k8s pkg/registry/core/pod/strategy.go) if no container matches or the container cannot
 * answer.
 */
export function streamPath(registry: Registry, url: URL): string {
  const [namespace = '', name = '', stream = ''] = PATH.exec(url.pathname)!.slice(1).map(decode);
  const pod = registry.get(servedAt('v1', 'pods')!, { namespace, name });
  if (!pod.spec?.nodeName) throw badRequest(`pod ${name} does not have a host assigned`);
  const query = new URLSearchParams(url.searchParams);
  if (stream !== 'portforward') {
    const container = containerOf(pod, query.get('container') ?? '');
    query.set('container', container);
    if (stream === 'log') requireLog(pod, container, query.get('previous') === 'true');
  }
  return `/${stream}/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}?${query}`;
}

function containerOf(pod: KubeObject, asked: string): string {
  const names = (list: unknown) => ((list ?? []) as { name: string }[]).map(({ name }) => name);
  const own = names(pod.spec?.containers);
  const initial = names(pod.spec?.initContainers);
  const { name, annotations } = pod.metadata;
  if (asked !== '') {
    if ([...own, ...initial].includes(asked)) return asked;
    throw badRequest(`container ${asked} is not valid for pod ${name}`);
  }
  const usual = annotations?.[DEFAULT_CONTAINER];
  if (usual !== undefined && own.includes(usual)) return usual;
  if (own.length === 1) return own[0]!;
  const choice = `choose one of: [${own.join(' ')}]`;
  const more = initial.length > 0 ? ` or one of the init containers: [${initial.join(' ')}]` : '';
  throw badRequest(`a container name must be specified for pod ${name}, ${choice}${more}`);
}

/**
 * Refuses the log of a container that has not started: k8s pkg/kubelet validateContainerLogStatus.
 */
function requireLog(pod: KubeObject, container: string, previous: boolean): void {
  const { name } = pod.metadata;
  const statuses = [
    ...((pod.status?.containerStatuses ?? []) as ContainerStatus[]),
    ...((pod.status?.initContainerStatuses ?? []) as ContainerStatus[]),
  ];
  const status = statuses.find((one) => one.name === container);
  if (previous && !status?.lastState?.terminated) {
    throw badRequest(
      `previous terminated container ${JSON.stringify(container)} in pod ` +
        `${JSON.stringify(name)} not found`,
    );
  }
  const begun = status && (!status.state?.waiting || status.lastState?.terminated);
  if (begun) return;
  const reason = status?.state?.waiting?.reason ?? 'ContainerCreating';
  throw badRequest(
    `container ${JSON.stringify(container)} in pod ${JSON.stringify(name)} is waiting to ` +
      `start: ${reason}`,
  );
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw badRequest(`the path of the request has an escape that is not UTF-8: ${part}`);
  }
}
