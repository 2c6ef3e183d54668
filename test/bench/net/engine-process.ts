// Entry of kubetun's process on the node: `engine-process.ts ARENA`. Reads numbers of Services on stdin, a line each,
// and says `published N` when the datapath works with that many.
import { createInterface } from 'node:readline';
import { applySteering, removeSteering } from '../../../control/node/apply.ts';
import { planSteering } from '../../../control/node/steering.ts';
import {
  FRONTEND_CLUSTER,
  type FrontendEntry,
  type NodeEntry,
  PROTO_TCP,
  PROTO_UDP,
  type ServiceEntry,
} from '../../../datapath/nat/image.ts';
import { parseAddress, parseRange } from '../../../datapath/wire/address.ts';
import { Engine } from '../../../datapath/worker/engine.ts';
import { type BenchService, benchServices } from './services.ts';
import { MTU, NODE_ADDRESS } from './topology.ts';

const SNAT_PORTS: [number, number] = [40_000, 65_534];
const NODE_PORTS: [number, number] = [30_000, 32_767];
const SERVICE_RANGE = '10.96.0.0/16';
const POD_RANGE = '10.244.0.0/16';
const EMPTY = new Int32Array(0);

const node: NodeEntry = {
  nodeAddress: parseAddress(NODE_ADDRESS)!,
  nodeAddresses: [parseAddress(NODE_ADDRESS)!],
  podRanges: [parseRange(POD_RANGE)!],
  serviceRange: parseRange(SERVICE_RANGE)!,
  snatPortMin: SNAT_PORTS[0],
  snatPortMax: SNAT_PORTS[1],
  nodePortMin: NODE_PORTS[0],
  nodePortMax: NODE_PORTS[1],
};

const engine = await Engine.start({
  arenaPath: process.argv[2]!,
  tunName: 'kt0',
  log: console.error,
});
applySteering(
  planSteering({
    tun: 'kt0',
    uplink: 'lo',
    mtu: MTU,
    nodeAddress: NODE_ADDRESS,
    serviceRange: SERVICE_RANGE,
    podRanges: [POD_RANGE],
    nodePorts: NODE_PORTS,
    snatPorts: SNAT_PORTS,
    ephemeralPorts: [32_768, 39_999],
  }),
);

let inForce: BenchService[] = [];

async function publish(count: number): Promise<void> {
  const wanted = benchServices(count);
  const kept = new Set(wanted.map((service, i) => key(frontend(service, i))));
  engine.writer.publish({
    node,
    upsert: wanted.map(entry),
    remove: inForce.slice(wanted.length).map((_, i) => wanted.length + i + 1),
    addFrontends: wanted.map(frontend),
    removeFrontends: inForce.map(frontend).filter((f) => !kept.has(key(f))),
  });
  inForce = wanted;
  const { generation } = engine.writer;
  while (engine.writer.acknowledged() < generation) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  console.log(`published ${count}`);
}

function key({ address, port, proto }: FrontendEntry): string {
  return `${address}:${port}:${proto}`;
}

function frontend({ address, port, proto }: BenchService, i: number): FrontendEntry {
  return {
    address: parseAddress(address)!,
    port,
    proto: proto === 'tcp' ? PROTO_TCP : PROTO_UDP,
    kind: FRONTEND_CLUSTER,
    serviceId: i + 1,
  };
}

function entry({ proto, endpoint, endpointPort }: BenchService, i: number): ServiceEntry {
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

createInterface({ input: process.stdin }).on('line', (line) => {
  void publish(Number(line));
});
process.once('SIGTERM', async () => {
  await engine.stop();
  removeSteering('kt0');
  process.exit(0);
});
console.log('ready');
