import type { Container, Pod } from '../kube/kinds.ts';
import { objectKey, parseAddresses, parseProtocol } from './parse.ts';
import type { NamedPort, PolicyPodRow } from './policy-rows.ts';

/**
 * The row of a pod, or null while it has no address of its own: not yet, not any more, or for good
 * because it lives in its node's network, for which no policy is.
 */
export function readPolicyPod(object: Pod): PolicyPodRow | null {
  const { metadata, spec, status } = object;
  // Of a pod with addresses of both families the first one may be IPv6.
  const [address] = parseAddresses([status?.podIP, ...(status?.podIPs ?? []).map(({ ip }) => ip)]);
  if (address === undefined || spec?.hostNetwork) return null;
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return null;
  const hosts = parseAddresses([status?.hostIP, ...(status?.hostIPs ?? []).map(({ ip }) => ip)]);
  return {
    key: objectKey(metadata),
    namespace: metadata?.namespace ?? 'default',
    uid: metadata?.uid ?? '',
    address,
    node: hosts[0] ?? 0,
    ending: Boolean(metadata?.deletionTimestamp),
    labels: metadata?.labels ?? {},
    ports: readPorts([
      ...(spec?.initContainers ?? []).filter(isSideCar),
      ...(spec?.containers ?? []),
    ]),
  };
}

/**
 * Side-cars among the init containers serve as long as the pod does; the others have long ended.
 */
function isSideCar({ restartPolicy }: Container & { restartPolicy?: string }): boolean {
  return restartPolicy === 'Always';
}

function readPorts(containers: Container[]): NamedPort[] {
  const rows: NamedPort[] = [];
  for (const { ports = [] } of containers) {
    for (const { name, protocol, containerPort } of ports) {
      const proto = parseProtocol(protocol);
      if (name && proto !== null) rows.push({ name, proto, number: containerPort });
    }
  }
  return rows;
}
