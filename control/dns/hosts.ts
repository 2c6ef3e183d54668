// The names that a pod has in its own /etc/hosts. Source: pkg/kubelet, managedHostsFileContent.
import type { Pod } from '../kube/kinds.ts';

const HOSTNAME_CHARS_MAX = 63;
const FQDN_CHARS_MAX = 64;

/** What `hostname` prints in a pod. */
export function hostnameOf(pod: Pod, node: string): string {
  const [first, short] = ownNames(pod, node) as [string, string?];
  const isLong = pod.spec?.setHostnameAsFQDN && first.length <= FQDN_CHARS_MAX;
  return isLong ? first : (short ?? first);
}

/** Lines of /etc/hosts: an address and its names. Pods have no IPv6. */
export function hostsOf(pod: Pod, address: string, node: string): [string, ...string[]][] {
  const aliases = pod.spec?.hostAliases ?? [];
  return [
    ['127.0.0.1', 'localhost'],
    [address, ...ownNames(pod, node)],
    ...aliases.map(({ ip, hostnames = [] }): [string, ...string[]] => [ip, ...hostnames]),
  ];
}

/** The long name, if there is one, and the short one. */
function ownNames({ metadata, spec }: Pod, node: string): string[] {
  const { hostNetwork = false, hostname, subdomain } = spec ?? {};
  // A pod in its node's network has the node's name and no other.
  if (hostNetwork) return [node];
  const short = shorten(hostname || (metadata?.name ?? ''));
  const namespace = metadata?.namespace ?? 'default';
  return subdomain ? [`${short}.${subdomain}.${namespace}.svc.cluster.local`, short] : [short];
}

function shorten(name: string): string {
  return name.slice(0, HOSTNAME_CHARS_MAX).replace(/[-.]+$/, '');
}
