// A gateway's tables: two nodes with public addresses, and balancers in front of them.

import {
  FRONTEND_LOADBALANCER,
  type ImageChange,
  SERVICE_FLAG_EXTERNAL_LOCAL,
  type ServiceEntry,
} from '../../datapath/image/image.ts';
import { parseRange } from '../../datapath/wire/address.ts';
import { PROTO_UDP } from '../../datapath/wire/ipv4.ts';
import { addr, change, frontend, NODE_ENTRY, pairs, service } from './datapath.ts';

export const CLOUD = '172.18.0.2';
/** Its address on the internet side. */
export const CLOUD_OUTSIDE = '203.0.113.1';
export const [NODE1, NODE2] = ['172.18.0.11', '172.18.0.12'] as const;
export const [PUBLIC1, PUBLIC2] = ['198.51.100.11', '198.51.100.12'] as const;
/** Balanced over NodePort 30080 of both nodes; captured by the nodes; with source ranges; UDP. */
export const [BALANCED, CAPTURED, RANGED] = [
  '198.51.100.254',
  '198.51.100.253',
  '198.51.100.252',
] as const;

function balancer(id: number, endpoints: string[], more: Partial<ServiceEntry> = {}): ServiceEntry {
  const list = pairs(...endpoints);
  return service(id, {
    ...{ cluster: list, local: list, flags: SERVICE_FLAG_EXTERNAL_LOCAL },
    ...more,
  });
}

const NODE_PORTS = [`${NODE1}:30080`, `${NODE2}:30080`];
export const GATEWAY_IMAGE: ImageChange = change({
  node: {
    ...NODE_ENTRY,
    nodeAddress: addr(CLOUD),
    nodeAddresses: [addr(NODE1), addr(NODE2)],
    podRanges: [parseRange('10.244.0.0/16')!, parseRange('172.18.0.0/16')!],
    serviceRange: parseRange('198.51.100.0/24')!,
    gateway: Int32Array.of(addr(NODE1), addr(PUBLIC1), addr(NODE2), addr(PUBLIC2)),
  },
  upsert: [
    balancer(1, NODE_PORTS),
    balancer(2, [`${CAPTURED}:80`]),
    balancer(3, NODE_PORTS, { sourceRanges: Int32Array.of(addr('203.0.113.0'), -128) }),
    balancer(4, NODE_PORTS, { proto: PROTO_UDP, affinityS: 60 }),
  ],
  addFrontends: [
    frontend(`${BALANCED}:80`, 1, FRONTEND_LOADBALANCER),
    frontend(`${CAPTURED}:80`, 2, FRONTEND_LOADBALANCER),
    frontend(`${RANGED}:80`, 3, FRONTEND_LOADBALANCER),
    frontend(`${BALANCED}:53`, 4, FRONTEND_LOADBALANCER, PROTO_UDP),
  ],
});

/** The same gateway with a known outside address. */
export const GATEWAY_OUTSIDE: ImageChange = {
  ...GATEWAY_IMAGE,
  node: {
    ...GATEWAY_IMAGE.node!,
    nodeAddresses: [addr(CLOUD), ...GATEWAY_IMAGE.node!.nodeAddresses],
    gateway: Int32Array.of(addr(CLOUD), addr(CLOUD_OUTSIDE), ...GATEWAY_IMAGE.node!.gateway!),
  },
};
