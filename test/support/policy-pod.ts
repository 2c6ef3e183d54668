import type { Pod } from '../../control/kube/kinds.ts';
import type { OraclePod } from './policy-oracle.ts';

/** The Pod object for a pod of the oracle. */
export function podObject(pod: OraclePod, ending = false): Pod {
  const { namespace, name, labels, address, node, ports } = pod;
  return {
    metadata: {
      ...{ namespace, name, uid: `${namespace}-${name}`, labels },
      ...(ending && { deletionTimestamp: '2026-01-01T00:00:00Z' }),
    },
    spec: { nodeName: node, containers: [{ name: 'main', ports }] },
    status: { phase: 'Running', podIP: address, hostIP: node },
  };
}
