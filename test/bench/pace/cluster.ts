// Writes a cluster's journal before its API server starts: faster than through the API.

import type { ServedKind } from '../../../control/apiserver/kind.ts';
import { Journal } from '../../../control/apiserver/store/journal.ts';
import { Store } from '../../../control/apiserver/store/store.ts';
import { SERVED } from '../../../control/apiserver/verbs/kinds.ts';
import { Registry } from '../../../control/apiserver/verbs/registry.ts';
import { seedCluster } from '../../../control/cluster/seed.ts';

export const NODE_NAME = 'node1';
/** The node's uplink. */
export const UPLINK = 'up0';
/** Endpoints of each Service that only fills tables. */
export const ENDPOINTS = 10;
const SLICE_PORT = 8080;
export const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';
/** The endpoint of the Service `kubernetes`. It gets no traffic. */
export const API_ADDRESS = { address: '172.18.0.1', port: 6443 };
export const RANGES = { serviceRange: '10.96.0.0/16', nodePortMin: 30_000, nodePortMax: 32_767 };

/** The Service with the measured change. */
export interface Measured {
  clusterIP: string;
  /** UDP. */
  port: number;
  address: string;
  targetPort: number;
}

/**
 * Writes a journal with a Node, Services `s0`, `s1`, ... of ENDPOINTS each, and the measured one.
 */
export function prepareJournal(
  path: string,
  services: number,
  node: string | null,
  measured: Measured | null,
): void {
  const journal = Journal.open(path);
  const registry = new Registry(new Store(SERVED, undefined, journal), RANGES);
  seedCluster(registry, RANGES.serviceRange, API_ADDRESS);
  if (node !== null) {
    const status = { addresses: [{ type: 'InternalIP', address: node }] };
    registry.create(kind('Node'), '', { metadata: { name: NODE_NAME }, status });
  }
  // First, because later addresses are random.
  if (measured) {
    const { clusterIP, port, address, targetPort } = measured;
    const spec = { port, protocol: 'UDP' };
    registry.create(kind('Service'), 'default', service('measured', spec, clusterIP));
    const own = slice('measured', [address], 'UDP', targetPort);
    registry.create(kind('EndpointSlice'), 'default', own);
  }
  for (let i = 0; i < services; i++) {
    registry.create(kind('Service'), 'default', service(`s${i}`, { port: 80 }));
    registry.create(kind('EndpointSlice'), 'default', slice(`s${i}`, addressesOf(i, 0), 'TCP'));
  }
  journal.close();
}

/** Addresses of a Service's endpoints. They differ for each `turn`. */
export function addressesOf(service: number, turn: number): string[] {
  return Array.from({ length: ENDPOINTS }, (_, n) => {
    const at = (service * ENDPOINTS + n + turn * 7919) % 60_000;
    return `10.245.${Math.floor(at / 250)}.${1 + (at % 250)}`;
  });
}

/** The slice of a Service, `NAME-1`. */
export function slice(
  name: string,
  addresses: string[],
  protocol: 'TCP' | 'UDP',
  port = SLICE_PORT,
) {
  return {
    metadata: { name: `${name}-1`, labels: { [SERVICE_NAME_LABEL]: name } },
    addressType: 'IPv4',
    ports: [{ name: '', port, protocol }],
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
  };
}

function service(name: string, port: object, clusterIP?: string): object {
  return { metadata: { name }, spec: { ports: [port], ...(clusterIP && { clusterIP }) } };
}

function kind(name: string): ServedKind {
  return SERVED.find((row) => row.kind === name)!;
}
