// What every cluster begins with.
import { formatAddress, parseRange } from '../../datapath/wire/address.ts';
import { SERVED } from './kinds.ts';
import type { Registry } from './registry.ts';

const NAMESPACES = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];

/** Creates the namespaces that clients take for granted, and the Service through which pods reach this server. */
export function seedCluster(
  registry: Registry,
  serviceRange: string,
  api: { address: string; port: number },
): void {
  for (const name of NAMESPACES) create(registry, 'Namespace', '', { metadata: { name } });
  const labels = { component: 'apiserver', provider: 'kubernetes' };
  create(registry, 'Service', 'default', {
    metadata: { name: 'kubernetes', labels },
    spec: {
      clusterIP: formatAddress(parseRange(serviceRange)!.address + 1),
      ports: [{ name: 'https', port: 443, targetPort: api.port }],
    },
  });
  create(registry, 'EndpointSlice', 'default', {
    metadata: { name: 'kubernetes', labels: { 'kubernetes.io/service-name': 'kubernetes' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [api.address], conditions: { ready: true } }],
    ports: [{ name: 'https', port: api.port, protocol: 'TCP' }],
  });
}

function create(registry: Registry, kind: string, namespace: string, object: object): void {
  registry.create(SERVED.find((row) => row.kind === kind)!, namespace, object);
}
