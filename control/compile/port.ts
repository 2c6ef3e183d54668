// Compiles one Service for one node: rows in, image content out. Pure.

import { isDeepStrictEqual } from 'node:util';
import {
  FRONTEND_CLUSTER,
  FRONTEND_EXTERNAL,
  FRONTEND_LOADBALANCER,
  FRONTEND_NODEPORT,
  type FrontendEntry,
  SERVICE_FLAG_EXTERNAL_LOCAL,
  SERVICE_FLAG_INTERNAL_LOCAL,
  type ServiceEntry,
} from '../../datapath/image/image.ts';
import { PROTO_UDP } from '../../datapath/wire/ipv4.ts';
import {
  eligibleCluster,
  eligibleLocal,
  endpointsOf,
  type Place,
  type PortEndpoint,
} from '../model/eligible.ts';
import { portKey } from '../model/parse.ts';
import type { ServicePortRow, ServiceRow, SliceRow } from '../model/rows.ts';
import { reasonAgainst } from './reserved.ts';

/** The node to compile for. */
export interface CompilePlace extends Place {
  /** The node's primary address, at which NodePorts are captured. Null if it is not known. */
  address: number | null;
  /** Addresses that no Service captures. */
  reserved: ReadonlySet<number>;
}

/** An address and port that a Service port claims. */
export type PortFrontend = Omit<FrontendEntry, 'serviceId'>;

/** A Service port as in the image, without its id. */
export interface CompiledPort extends Omit<ServiceEntry, 'id'> {
  frontends: PortFrontend[];
}

const NO_PAIRS = new Int32Array(0);

/** All ports of a Service, in the Service's order. */
export function compileService(
  service: ServiceRow,
  slices: Iterable<SliceRow>,
  place: CompilePlace,
): CompiledPort[] {
  const flags =
    (service.internalLocal ? SERVICE_FLAG_INTERNAL_LOCAL : 0) |
    (service.externalLocal ? SERVICE_FLAG_EXTERNAL_LOCAL : 0);
  const rows = [...slices];
  return service.ports.map((port) => {
    const endpoints = endpointsOf(port, rows);
    const cluster = eligibleCluster(endpoints, place);
    const local = flags === 0 ? [] : eligibleLocal(endpoints, place);
    return {
      name: portKey(service.key, port),
      proto: port.proto,
      flags,
      affinityS: service.affinityS,
      cluster: toPairs(cluster),
      local: toPairs(local),
      serving:
        port.proto === PROTO_UDP ? toPairs(servingBeside(endpoints, cluster, local)) : NO_PAIRS,
      sourceRanges: service.sourceRanges,
      frontends: frontendsOf(service, port, place),
    };
  });
}

/** True if the image entry is the same. Ignores frontends, which are compared separately. */
export function samePort(a: CompiledPort, b: CompiledPort): boolean {
  return isDeepStrictEqual(toEntry(a, 0), toEntry(b, 0));
}

export function toEntry(port: CompiledPort, id: number): ServiceEntry {
  const { name, proto, flags, affinityS, cluster, local, serving, sourceRanges } = port;
  return { id, name, proto, flags, affinityS, cluster, local, serving, sourceRanges };
}

/** Endpoints that are not eligible but keep their flows. */
function servingBeside(all: PortEndpoint[], ...chosen: PortEndpoint[][]): PortEndpoint[] {
  const others = new Set(chosen.flat());
  return all.filter((e) => (e.row.serving || e.row.ready) && !others.has(e));
}

function toPairs(endpoints: readonly PortEndpoint[]): Int32Array {
  if (endpoints.length === 0) return NO_PAIRS;
  const pairs = new Int32Array(endpoints.length * 2);
  endpoints.forEach(({ row, port }, i) => {
    pairs[i * 2] = row.address;
    pairs[i * 2 + 1] = port;
  });
  return pairs;
}

/** Why addresses of a Service are not captured, one line each. */
export function ignoredOf(s: ServiceRow, reserved: ReadonlySet<number>): string[] {
  if (s.ports.length === 0) return [];
  const reasons = [
    ...s.loadBalancerAddresses.map((a) => reasonAgainst(a, FRONTEND_LOADBALANCER, reserved)),
    ...s.externalAddresses.map((a) => reasonAgainst(a, FRONTEND_EXTERNAL, reserved)),
  ];
  return [...new Set(reasons.filter((reason) => reason !== null))];
}

function frontendsOf(s: ServiceRow, port: ServicePortRow, place: CompilePlace): PortFrontend[] {
  const { number, proto, nodePort } = port;
  const { address: node, reserved } = place;
  const found: PortFrontend[] = [];
  const add = (address: number, port: number, kind: number) => {
    if (reasonAgainst(address, kind, reserved) === null) found.push({ address, port, proto, kind });
  };
  for (const address of s.clusterAddresses) add(address, number, FRONTEND_CLUSTER);
  if (nodePort !== 0 && node !== null) add(node, nodePort, FRONTEND_NODEPORT);
  for (const address of s.loadBalancerAddresses) add(address, number, FRONTEND_LOADBALANCER);
  for (const address of s.externalAddresses) add(address, number, FRONTEND_EXTERNAL);
  return found;
}
