// Builders of API objects for tests. A test gives only the fields that matter to it.
import type { EndpointSlice, Node, Service } from '../../../../control/kube/kinds.ts';

export function service(name: string, spec: object = {}, rest: object = {}): Service {
  const base = { type: 'ClusterIP', clusterIP: '10.96.0.5', ports: [{ port: 80 }] };
  return {
    metadata: { namespace: 'ns', name, creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: { ...base, ...spec },
    ...rest,
  } as Service;
}

export interface EndpointSpec {
  ip: string;
  node?: string;
  ready?: boolean;
  serving?: boolean;
  terminating?: boolean;
  zones?: string[];
  nodes?: string[];
}

export function slice(
  name: string,
  serviceName: string,
  endpoints: EndpointSpec[],
  ports: object[] = [{ port: 8080 }],
): EndpointSlice {
  return {
    metadata: {
      namespace: 'ns',
      name,
      labels: { 'kubernetes.io/service-name': serviceName },
    },
    addressType: 'IPv4',
    ports,
    endpoints: endpoints.map(({ ip, node, zones, nodes, ...conditions }) => ({
      addresses: [ip],
      nodeName: node,
      conditions,
      hints: {
        forZones: zones?.map((z) => ({ name: z })),
        forNodes: nodes?.map((n) => ({ name: n })),
      },
    })),
  } as EndpointSlice;
}

export function node(name: string, address: string, podCIDR?: string, zone?: string): Node {
  return {
    metadata: { name, labels: zone ? { 'topology.kubernetes.io/zone': zone } : {} },
    spec: { podCIDR },
    status: {
      addresses: [
        { type: 'Hostname', address: name },
        { type: 'InternalIP', address },
      ],
    },
  } as Node;
}
