import type { Container, Pod } from '../kube/kinds.ts';
import { objectKey, parseAddresses, parseProtocol } from './parse.ts';
import type { NamedPort, PolicyPodRow } from './policy-rows.ts';

/**
 * The row of a pod. Null for a pod without its own address: before it starts, after it ends, and on
 * the host network, to which policies do not apply.
 */
export function readPolicyPod(object: Pod): PolicyPodRow | null {
  const { metadata, spec, status } = object;
  // The first address of a dual-stack pod can be IPv6.
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

/** True for a sidecar, which serves as long as the pod. Other init containers have ended. */
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
