// The surroundings of a pod: its network namespace, host name and files about both.
import { readFileSync } from 'node:fs';
import type { Pod } from '../../../control/kube/kinds.ts';
import { podNamespace } from '../../places/names.ts';
import { resolverText } from './resolver.ts';

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

const HOSTNAME_CHARS_MAX = 63;
const FQDN_CHARS_MAX = 64;

export function surroundingsOf(pod: Pod, { lab, dnsAddress, address, node }: Place): Surroundings {
  const { namespace = '', name = '' } = pod.metadata ?? {};
  const { hostNetwork = false, subdomain, setHostnameAsFQDN } = pod.spec ?? {};
  const short = hostNetwork ? node.name : shorten(pod.spec?.hostname || name);
  // A pod in its node's network has the node's name and no other.
  const fqdn =
    hostNetwork || !subdomain ? '' : `${short}.${subdomain}.${namespace}.svc.cluster.local`;
  const long = setHostnameAsFQDN && fqdn !== '' && fqdn.length <= FQDN_CHARS_MAX;
  return {
    hostNetwork,
    netns: hostNetwork ? node.namespace : podNamespace(lab, namespace, name),
    hostname: long ? fqdn : short,
    hosts: hostsText(pod, address, fqdn === '' ? [short] : [fqdn, short]),
    resolv: resolverText(pod, dnsAddress, machineResolver()),
  };
}

/** Source: pkg/kubelet, managedHostsFileContent. Pods have no IPv6, so its lines are left out. */
function hostsText({ spec }: Pod, address: string, names: string[]): string {
  const aliases = spec?.hostAliases ?? [];
  const lines = ['# Kubernetes-managed hosts file.', '127.0.0.1\tlocalhost'];
  lines.push([address, ...names].join('\t'));
  if (aliases.length > 0) lines.push('', '# Entries added by HostAliases.');
  for (const { ip, hostnames = [] } of aliases) lines.push([ip, ...hostnames].join('\t'));
  return lines.map((line) => `${line}\n`).join('');
}

function shorten(name: string): string {
  return name.slice(0, HOSTNAME_CHARS_MAX).replace(/[-.]+$/, '');
}

function machineResolver(): string {
  try {
    return readFileSync('/etc/resolv.conf', 'utf8');
  } catch {
    return '';
  }
}
