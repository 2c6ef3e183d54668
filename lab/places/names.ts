// What everything of a lab is called. A name of the lab comes first, so that labs never collide.
import { createHash } from 'node:crypto';

/** Longer names of network interfaces are refused by the kernel. */
const LINK_NAME_MAX = 15;
/** Longest file name below /run/netns that is sure to work. */
const NAMESPACE_NAME_MAX = 200;

/**
 * Names the lab in the environment of its supervisor, and by inheritance of agents and of PID 1 of
 * each pod: they are found by it when no record names them.
 */
export const LAB_VARIABLE = 'KUBETUN_LAB';

export const NETNS_DIR = '/run/netns';

/** Network namespace of a node, or of `fabric`, `cloud`, `internet`. */
export function namespaceOf(lab: string, place: string): string {
  return `${lab}-${place}`;
}

/** Network namespace of a pod. */
export function podNamespace(lab: string, namespace: string, pod: string): string {
  const name = `${lab}-pod-${namespace}-${pod}`;
  if (name.length <= NAMESPACE_NAME_MAX) return name;
  return `${name.slice(0, NAMESPACE_NAME_MAX - 9)}-${digest(name, 8)}`;
}

/** Where a network namespace of that name is to be opened. */
export function namespacePath(name: string): string {
  return `${NETNS_DIR}/${name}`;
}

/** Fabric's end of the cable to a node or to `cloud`. */
export function fabricLink(place: string): string {
  const name = `to-${place}`;
  return name.length <= LINK_NAME_MAX ? name : `to-${digest(place, 10)}`;
}

/** The node's end of a pod's cable: found from the pod's name alone. */
export function podLink(namespace: string, pod: string): string {
  return `pod${digest(`${namespace}/${pod}`, 10)}`;
}

function digest(text: string, length: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, length);
}
