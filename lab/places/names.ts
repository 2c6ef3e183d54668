// Names of a lab's namespaces and links. The lab's name comes first, so that labs never collide.
import { createHash } from 'node:crypto';

/** Longest name of a network interface in the kernel. */
const LINK_NAME_MAX = 15;
/** Longest file name below /run/netns that works everywhere. */
const NAMESPACE_NAME_MAX = 200;

/**
 * Marks a lab's supervisor, agents and pods in their environment. A process without a record is
 * found by it.
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

/** Path of a network namespace. */
export function namespacePath(name: string): string {
  return `${NETNS_DIR}/${name}`;
}

/** The fabric's end of the cable to a node or to `cloud`. */
export function fabricLink(place: string): string {
  const name = `to-${place}`;
  return name.length <= LINK_NAME_MAX ? name : `to-${digest(place, 10)}`;
}

/** The node's end of a pod's cable. It follows from the pod's name. */
export function podLink(namespace: string, pod: string): string {
  return `pod${digest(`${namespace}/${pod}`, 10)}`;
}

function digest(text: string, length: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, length);
}
