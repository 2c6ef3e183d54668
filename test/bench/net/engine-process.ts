// Entry of kubetun's process on the node: `engine-process.ts ARENA veth|tun PODS`. PODS contains
// those that send nothing. Reads numbers of Services from stdin, one a line. Prints `published N`
// when the datapath serves that many.
// KUBETUN_MERGE=off writes every packet by itself. KUBETUN_BUSY_POLL is in us, 0 for never.
import { createInterface } from 'node:readline';
import { applySteering, removeSteering } from '../../../control/node/apply.ts';
import { planSteering } from '../../../control/node/steering.ts';
import type { FrontendEntry } from '../../../datapath/image/image.ts';
import { inNamespace } from '../../../datapath/io/netns.ts';
import { openTun } from '../../../datapath/io/tun.ts';
import { parseAddress } from '../../../datapath/wire/address.ts';
import { BUSY_POLL_AUTO } from '../../../datapath/worker/busy-poll.ts';
import { Engine, type PodPort } from '../../../datapath/worker/engine.ts';
import {
  BENCH_NODE,
  entryOf,
  frontendOf,
  NODE_PORTS,
  POD_RANGE,
  SERVICE_RANGE,
  SNAT_PORTS,
} from './image.ts';
import { type BenchService, benchServices } from './services.ts';
import {
  type Attach,
  addressOf,
  MTU,
  NODE_ADDRESS,
  namespaceOf,
  POD_DEVICE,
  type Pod,
  podsBy,
  type SilentPod,
  silentPods,
} from './topology.ts';

const [arenaPath, attach, podCount] = process.argv.slice(2) as [string, Attach, string];
const pods = podsBy(attach);
const server = addressOf(pods[1]);

/** Devices are opened in their namespaces, before the datapath serves. */
function openDevice(place: Pod | 'silent', { device, address }: SilentPod): PodPort {
  const tun = inNamespace(`/run/netns/${namespaceOf(place)}`, () => openTun(device));
  return { tun, address: parseAddress(address)! };
}

function openDevices(): PodPort[] {
  const measured = pods.map((pod) =>
    openDevice(pod, { device: POD_DEVICE, address: addressOf(pod) }),
  );
  const silent = silentPods(attach, Number(podCount)).map((pod) => openDevice('silent', pod));
  return [...measured, ...silent];
}

const engine = await Engine.start({
  arenaPath,
  tunName: 'kt0',
  pods: attach === 'tun' ? openDevices() : [],
  merge: process.env.KUBETUN_MERGE !== 'off',
  busyPoll: Number(process.env.KUBETUN_BUSY_POLL ?? BUSY_POLL_AUTO),
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
    ownPodRanges: [POD_RANGE],
    nodePorts: NODE_PORTS,
    snatPorts: SNAT_PORTS,
    ephemeralPorts: [32_768, 39_999],
  }),
  'kt0',
);

let inForce: BenchService[] = [];

async function publish(count: number): Promise<void> {
  const wanted = benchServices(count, server);
  const kept = new Set(wanted.map((service, i) => key(frontendOf(service, i))));
  engine.writer.publish({
    node: BENCH_NODE,
    upsert: wanted.map(entryOf),
    remove: inForce.slice(wanted.length).map((_, i) => wanted.length + i + 1),
    addFrontends: wanted.map(frontendOf),
    removeFrontends: inForce.map(frontendOf).filter((f) => !kept.has(key(f))),
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

createInterface({ input: process.stdin }).on('line', (line) => {
  void publish(Number(line));
});
process.once('SIGTERM', async () => {
  await engine.stop();
  removeSteering('kt0');
  process.exit(0);
});
console.log('ready');
