import { parseAddress } from '../../datapath/wire/address.ts';
import type { Container, Pod } from '../kube/kinds.ts';
import { objectKey, parseProtocol } from './parse.ts';
import type { NamedPort, PolicyPodRow } from './policy-rows.ts';

/**
 * The row of a pod, or null while it has no address of its own: not yet, not any more, or for good because it lives in
 * its node's network, for which no policy is.
 */
export function readPolicyPod(object: Pod): PolicyPodRow | null {
  const { metadata, spec, status } = object;
  const address = parseAddress(status?.podIP ?? '');
  if (address === null || spec?.hostNetwork) return null;
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return null;
  return {
    key: objectKey(metadata),
    namespace: metadata?.namespace ?? 'default',
    uid: metadata?.uid ?? '',
    address,
    node: parseAddress(status?.hostIP ?? '') ?? 0,
    labels: metadata?.labels ?? {},
    ports: readPorts([...(spec?.initContainers ?? []), ...(spec?.containers ?? [])]),
  };
}

/** Side-cars among the init containers serve as long as the pod does; the others have long ended. */
function readPorts(containers: (Container & { restartPolicy?: string })[]): NamedPort[] {
  const rows: NamedPort[] = [];
  for (const { ports = [] } of containers) {
    for (const { name, protocol, containerPort } of ports) {
      const proto = parseProtocol(protocol);
      if (name && proto !== null) rows.push({ name, proto, number: containerPort });
    }
  }
  return rows;
}
