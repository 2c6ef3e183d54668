// The surroundings of a pod: its network namespace, host name and files about both.
import { readFileSync } from 'node:fs';
import { hostnameOf, hostsOf } from '../../../control/dns/hosts.ts';
import { resolverOf, resolverText } from '../../../control/dns/resolver.ts';
import type { Pod } from '../../../control/kube/kinds.ts';
import { podNamespace } from '../../places/names.ts';

export interface Surroundings {
  /** The pod uses the network namespace, address and name of its node. */
  hostNetwork: boolean;
  /** Name of its network namespace. */
  netns: string;
  hostname: string;
  /** /etc/hosts. */
  hosts: string;
  /** /etc/resolv.conf. */
  resolv: string;
}

export interface Place {
  lab: string;
  dnsAddress: string;
  /** Address of the pod. */
  address: string;
  node: { name: string; namespace: string };
}

export function surroundingsOf(pod: Pod, { lab, dnsAddress, address, node }: Place): Surroundings {
  const { namespace = '', name = '' } = pod.metadata ?? {};
  const { hostNetwork = false } = pod.spec ?? {};
  return {
    hostNetwork,
    netns: hostNetwork ? node.namespace : podNamespace(lab, namespace, name),
    hostname: hostnameOf(pod, node.name),
    hosts: hostsText(hostsOf(pod, address, node.name)),
    resolv: resolverText(resolverOf(pod, dnsAddress, machineResolver())),
  };
}

function hostsText(rows: string[][]): string {
  const [local, own, ...aliases] = rows.map((row) => row.join('\t'));
  const lines = ['# Kubernetes-managed hosts file.', local, own];
  if (aliases.length > 0) lines.push('', '# Entries added by HostAliases.', ...aliases);
  return lines.map((line) => `${line}\n`).join('');
}

function machineResolver(): string {
  try {
    return readFileSync('/etc/resolv.conf', 'utf8');
  } catch {
    return '';
  }
}
