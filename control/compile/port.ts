// Compiles one Service for one node: rows in, image content out. Pure.

import {
  FRONTEND_CLUSTER,
  FRONTEND_EXTERNAL,
  FRONTEND_LOADBALANCER,
  FRONTEND_NODEPORT,
  SERVICE_FLAG_EXTERNAL_LOCAL,
  SERVICE_FLAG_INTERNAL_LOCAL,
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
export interface PortFrontend {
  address: number;
  port: number;
  proto: number;
  /** FRONTEND_*. */
  kind: number;
}

/** A Service port as in the image, without its id. */
export interface CompiledPort {
  /** `NS/NAME:PORT`, PORT the port's name or its number. */
  name: string;
  proto: number;
  flags: number;
  affinityS: number;
  /** Pairs (address, port), in the order of addresses. */
  cluster: Int32Array;
  /** The same for this node's endpoints. Empty unless a policy is Local. */
  local: Int32Array;
  /** UDP only: the other endpoints that still serve. */
  serving: Int32Array;
  sourceRanges: Int32Array;
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
  return (
    a.name === b.name &&
    a.proto === b.proto &&
    a.flags === b.flags &&
    a.affinityS === b.affinityS &&
    sameWords(a.cluster, b.cluster) &&
    sameWords(a.local, b.local) &&
    sameWords(a.serving, b.serving) &&
    sameWords(a.sourceRanges, b.sourceRanges)
  );
}

/** Endpoints that are not eligible but keep their flows. */
function servingBeside(all: PortEndpoint[], ...chosen: PortEndpoint[][]): PortEndpoint[] {
  const others = new Set(chosen.flat());
  return all.filter((e) => (e.row.serving || e.row.ready) && !others.has(e));
}

function sameWords(a: Int32Array, b: Int32Array): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
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
