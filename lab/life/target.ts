// Resolves the TARGET of a command: a node, the cloud, the internet, or a pod.
import { stateDir } from '../../control/places.ts';
import { KubetunError } from '../../datapath/error.ts';
import { namespaceOf, namespacePath } from '../places/names.ts';
import { findPod } from '../pods/sandbox/records.ts';
import type { LabRecord } from '../state/record.ts';

/** Where a command runs: in a network namespace, or in the namespaces of a container's process. */
export type Place = { netns: string } | { pid: number; container: string };

/**
 * Resolves `node/NAME`, `cloud`, `internet`, `fabric` or `[NS/]POD` of a running lab. Throws
 * KubetunError KT_NODE_UNKNOWN, KT_POD_UNKNOWN, KT_CONTAINER_UNKNOWN.
 */
export function resolvePlace(record: LabRecord, target: string, container?: string): Place {
  const { lab, topology } = record;
  if (['cloud', 'internet', 'fabric'].includes(target)) {
    return { netns: namespacePath(namespaceOf(lab, target)) };
  }
  const node = /^nodes?\/(.+)$/.exec(target)?.[1];
  if (node !== undefined) {
    requireNodeOf(record, node);
    return { netns: namespacePath(namespaceOf(lab, node)) };
  }
  const [namespace, name] = splitPod(target);
  const pod = findPod(stateDir(lab), namespace, name);
  if (!pod) {
    const isNode = topology.nodes.some((n) => n.name === target);
    throw new KubetunError(
      'KT_POD_UNKNOWN',
      `lab ${lab} runs no pod ${namespace}/${name}`,
      isNode ? `the node is called node/${target}` : 'scripts/kubetun lab status shows what runs',
    );
  }
  const found = container ? pod.containers.find((c) => c.name === container) : pod.containers[0];
  if (!found) {
    throw new KubetunError(
      'KT_CONTAINER_UNKNOWN',
      `pod ${namespace}/${name} runs no container${container ? ` ${container}` : ''}`,
      pod.containers.length > 0
        ? `its containers are ${pod.containers.map((c) => c.name).join(', ')}`
        : 'scripts/kubetun lab status shows its state',
    );
  }
  return { pid: found.pid, container: found.name };
}

/** Namespace and name of `[NS/]POD`. */
export function splitPod(target: string): [namespace: string, name: string] {
  const slash = target.indexOf('/');
  return slash < 0 ? ['default', target] : [target.slice(0, slash), target.slice(slash + 1)];
}

/** Throws KubetunError KT_NODE_UNKNOWN. */
function requireNodeOf({ lab, topology }: LabRecord, node: string): void {
  if (topology.nodes.some((n) => n.name === node)) return;
  throw new KubetunError(
    'KT_NODE_UNKNOWN',
    `lab ${lab} has no node ${node}`,
    `its nodes are ${topology.nodes.map((n) => n.name).join(', ')}`,
  );
}

/** The command line that runs `command` in a place. */
export function commandIn(place: Place, command: string[]): string[] {
  return 'netns' in place
    ? ['nsenter', `--net=${place.netns}`, '--', ...command]
    : ['nsenter', `--target=${place.pid}`, ...POD_NAMESPACES, '--', ...command];
}

const POD_NAMESPACES = ['--mount', '--uts', '--ipc', '--net', '--pid', '--root', '--wd'];
