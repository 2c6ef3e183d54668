// What a pod finds around it: its network, its name, and the files that tell of both.
import { readFileSync } from 'node:fs';
import type { Pod } from '../../../control/kube/kinds.ts';
import { podNamespace } from '../../places/names.ts';
import { resolverText } from './resolver.ts';

export interface Surroundings {
  /** It lives in its node's network namespace, with its node's address and name. */
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
  /** Of the pod. */
  address: string;
  node: { name: string; namespace: string };
}

const HOSTNAME_CHARS_MAX = 63;
const FQDN_CHARS_MAX = 64;

export function surroundingsOf(pod: Pod, { lab, dnsAddress, address, node }: Place): Surroundings {
  const { namespace = '', name = '' } = pod.metadata ?? {};
  const { hostNetwork = false, subdomain, setHostnameAsFQDN } = pod.spec ?? {};
  const short = hostNetwork ? node.name : shorten(pod.spec?.hostname || name);
  // A pod in its node's network has the name of that, and no other.
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

/** pkg/kubelet: managedHostsFileContent. Of IPv6, which pods have not, there is nothing. */
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
