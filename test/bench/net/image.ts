// The benchmark's Services as an image, for the datapath and for the nftables twin.

import {
  FRONTEND_CLUSTER,
  type FrontendEntry,
  type NodeEntry,
  type ServiceEntry,
} from '../../../datapath/image/image.ts';
import { parseAddress, parseRange } from '../../../datapath/wire/address.ts';
import { PROTO_TCP, PROTO_UDP } from '../../../datapath/wire/ipv4.ts';
import type { BenchService } from './services.ts';
import { NODE_ADDRESS } from './topology.ts';

export const SNAT_PORTS: [number, number] = [40_000, 65_534];
export const NODE_PORTS: [number, number] = [30_000, 32_767];
export const SERVICE_RANGE = '10.96.0.0/16';
export const POD_RANGE = '10.244.0.0/16';
const EMPTY = new Int32Array(0);

export const BENCH_NODE: NodeEntry = {
  nodeAddress: parseAddress(NODE_ADDRESS)!,
  nodeAddresses: [parseAddress(NODE_ADDRESS)!],
  podRanges: [parseRange(POD_RANGE)!],
  serviceRange: parseRange(SERVICE_RANGE)!,
  snatPortMin: SNAT_PORTS[0],
  snatPortMax: SNAT_PORTS[1],
};

export function frontendOf({ address, port, proto }: BenchService, i: number): FrontendEntry {
  return {
    address: parseAddress(address)!,
    port,
    proto: proto === 'tcp' ? PROTO_TCP : PROTO_UDP,
    kind: FRONTEND_CLUSTER,
    serviceId: i + 1,
  };
}

export function entryOf({ proto, endpoint, endpointPort }: BenchService, i: number): ServiceEntry {
  return {
    id: i + 1,
    name: `bench/s${i}:p`,
    proto: proto === 'tcp' ? PROTO_TCP : PROTO_UDP,
    flags: 0,
    affinityS: 0,
    cluster: Int32Array.of(parseAddress(endpoint)!, endpointPort),
    local: EMPTY,
    serving: EMPTY,
    sourceRanges: EMPTY,
  };
}
