// A datapath in memory with many established connections, and batches of their packets. Runs the
// worker's pipeline without a device.
import '../../../datapath/worker/jit.ts';
import { mapArena } from '../../../datapath/arena/file.ts';
import { IMAGE_WORDS_DEFAULT } from '../../../datapath/arena/layout.ts';
import { FRONTEND_CLUSTER } from '../../../datapath/image/image.ts';
import { ImageWriter } from '../../../datapath/image/writer.ts';
import {
  type Batch,
  createBatch,
  P_IN,
  P_START,
  P_WORDS,
  PORT_POD,
} from '../../../datapath/pipeline/batch.ts';
import { Datapath } from '../../../datapath/pipeline/datapath.ts';
import { run } from '../../../datapath/pipeline/run.ts';
import { parseAddress, parseRange } from '../../../datapath/wire/address.ts';
import { PROTO_TCP } from '../../../datapath/wire/ipv4.ts';
import { compilePolicies, policyTables } from '../policies.ts';

/** Packets a batch. */
export const BATCH = 64;
const VNET_BYTES = 10;
/** IPv4 and TCP with a timestamp option, no data: the smallest segment of a connection. */
const PACKET_BYTES = 52;
const FRAME_BYTES = VNET_BYTES + PACKET_BYTES;
/** Words that differ from flow to flow: the IP header and the ports. */
const OWN_WORDS = 6;
const SYN = 2;
const SYN_ACK = 18;
const ACK = 16;
const ENDPOINTS = 10;
const CLIENTS = 200;
const NOW = 1000;

const address = (text: string) => parseAddress(text)!;
const VIP = address('10.96.0.50');
const FIRST_ENDPOINT = address('10.244.2.10');
const FIRST_CLIENT = address('10.244.1.1');
/** Address of the node and ranges of pods that a publisher of images for a world must use. */
export const WORLD = {
  ...{ vip: VIP, node: address('172.18.0.11'), serviceRange: parseRange('10.96.0.0/16')! },
  clients: Array.from({ length: CLIENTS }, (_, i) => FIRST_CLIENT + i),
  endpoints: Array.from({ length: ENDPOINTS }, (_, i) => FIRST_ENDPOINT + i),
};

export class World {
  readonly d: Datapath;
  readonly b: Batch = createBatch();
  readonly flows: number;
  #hasPorts = false;
  /** Words of each flow's next packet that differ, in sending order. */
  readonly #prebuilt: Int32Array;

  /**
   * Opens connections through a ClusterIP by handshakes. `publish` publishes an image that serves
   * `WORLD.vip`. Without it that is the only Service, and there are no policies.
   */
  constructor(
    flows: number,
    flowsMax = 1 << 20,
    publish: (writer: ImageWriter) => void = publishOne(0),
  ) {
    const arena = mapArena({ flowsMax, imageWords: IMAGE_WORDS_DEFAULT }, 12_345);
    // Touches the memory first: page faults of a fresh process are no cost of the pipeline.
    for (const part of [arena.lines, arena.index, arena.free]) part.fill(0);
    this.d = new Datapath(arena, 77);
    this.flows = flows;
    publish(new ImageWriter(arena));
    this.#prebuilt = new Int32Array(flows * OWN_WORDS);
    for (let flow = 0; flow < flows; flow += BATCH) this.#open(flow, Math.min(BATCH, flows - flow));
    this.#prebuild();
    this.b.count = 0;
    for (let i = 0; i < BATCH; i++) this.#put(0, ACK);
  }

  /** Gives each client and each endpoint a port of its own. Packets filled from now on use them. */
  attachPods(): void {
    const pods = [...WORLD.clients, ...WORLD.endpoints];
    for (const [n, pod] of pods.entries()) this.d.ports.set(n + 1, pod);
    this.#hasPorts = true;
  }

  /** Fills the batch with packets from number `from` on, each of another flow. */
  fill(from: number): void {
    const { p, view } = this.b;
    const prebuilt = this.#prebuilt;
    const { flows } = this;
    let at = (from % flows) * OWN_WORDS;
    for (let i = 0; i < BATCH; i++) {
      const ip = p[i * P_WORDS + P_START]! + VNET_BYTES;
      for (let word = 0; word < OWN_WORDS; word++)
        view.setInt32(ip + word * 4, prebuilt[at + word]!);
      at += OWN_WORDS;
      if (at === prebuilt.length) at = 0;
      if (!this.#hasPorts) continue;
      const client = view.getInt32(ip + 12) - FIRST_CLIENT;
      p[i * P_WORDS + P_IN] = (client + 1) | PORT_POD;
    }
    this.b.count = BATCH;
  }

  run(): void {
    run(this.d, this.b, NOW);
  }

  /** A batch of packets that each open a connection. `first` numbers them, so that all are new. */
  runNew(first: number): void {
    this.fillNew(first);
    this.run();
  }

  fillNew(first: number): void {
    this.b.count = 0;
    for (let i = 0; i < BATCH; i++) this.#put(first + i, SYN);
  }

  #open(first: number, count: number): void {
    const { b } = this;
    b.count = 0;
    for (let i = 0; i < count; i++) this.#put(first + i, SYN);
    this.run();
    // The backend's answer is its request with the ends swapped.
    for (let i = 0; i < count; i++) this.#answer(b.p[i * P_WORDS + P_START]! + VNET_BYTES);
    b.count = count;
    this.run();
    b.count = 0;
    for (let i = 0; i < count; i++) this.#put(first + i, ACK);
    this.run();
  }

  #answer(ip: number): void {
    const { view } = this.b;
    const [src, dst] = [view.getInt32(ip + 12), view.getInt32(ip + 16)];
    const ports = view.getInt32(ip + 20);
    view.setInt32(ip + 12, dst);
    view.setInt32(ip + 16, src);
    view.setInt32(ip + 20, (ports << 16) | (ports >>> 16));
    view.setInt32(ip + 24, 7000);
    view.setInt32(ip + 28, 2);
    view.setUint16(ip + 32, 0x8000 | SYN_ACK);
    sumHeader(view, ip);
  }

  /** Packets of all flows in random order, so that caches and hardware prefetchers do not help. */
  #prebuild(): void {
    const order = Int32Array.from({ length: this.flows }, (_, i) => i);
    let x = 1;
    for (let i = order.length - 1; i > 0; i--) {
      x = (Math.imul(x, 1_103_515_245) + 12_345) | 0;
      const j = (x >>> 3) % (i + 1);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    for (const [i, flow] of order.entries()) {
      this.b.count = 0;
      this.#put(flow, ACK);
      for (let word = 0; word < OWN_WORDS; word++) {
        this.#prebuilt[i * OWN_WORDS + word] = this.b.view.getInt32(VNET_BYTES + word * 4);
      }
    }
  }

  /** A packet as a pod's kernel sends it: with a partial checksum. */
  #put(flow: number, flags: number): void {
    const { b } = this;
    const { view } = b;
    const at = b.end();
    const ip = at + VNET_BYTES;
    for (let i = 0; i < VNET_BYTES; i++) view.setUint8(at + i, 0);
    view.setUint8(at, 1);
    view.setUint16(at + 6, 20, true);
    view.setUint16(at + 8, 16, true);
    view.setInt32(ip, (0x4500 << 16) | PACKET_BYTES);
    view.setInt32(ip + 4, 0x4000);
    view.setInt32(ip + 8, (63 << 24) | (PROTO_TCP << 16));
    view.setInt32(ip + 12, FIRST_CLIENT + (flow % CLIENTS));
    view.setInt32(ip + 16, VIP);
    view.setUint16(ip + 20, 1024 + Math.floor(flow / CLIENTS));
    view.setUint16(ip + 22, 80);
    view.setInt32(ip + 24, flags === SYN ? 1 : 2);
    view.setInt32(ip + 28, flags === SYN ? 0 : 7001);
    view.setUint16(ip + 32, 0x8000 | flags);
    view.setInt32(ip + 36, 0x1234_0000);
    sumHeader(view, ip);
    b.push(FRAME_BYTES, 0);
  }
}

function sumHeader(view: DataView, ip: number): void {
  view.setUint16(ip + 10, 0);
  let sum = 0;
  for (let i = 0; i < 20; i += 2) sum += view.getUint16(ip + i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(ip + 10, ~sum & 0xffff);
}

/** One Service, and NetworkPolicies in the given number. */
export function publishOne(policies: number): (writer: ImageWriter) => void {
  const { clients, endpoints, node, serviceRange } = WORLD;
  return (writer) => {
    writer.publish({
      node: {
        nodeAddress: node,
        nodeAddresses: [node],
        podRanges: [parseRange('10.244.0.0/16')!],
        serviceRange,
        snatPortMin: 40_000,
        snatPortMax: 65_534,
      },
      upsert: [
        {
          id: 1,
          name: 'default/web:80',
          proto: PROTO_TCP,
          flags: 0,
          affinityS: 0,
          cluster: Int32Array.from(endpoints.flatMap((endpoint) => [endpoint, 8080])),
          local: new Int32Array(0),
          serving: new Int32Array(0),
          sourceRanges: new Int32Array(0),
        },
      ],
      remove: [],
      addFrontends: [
        { address: VIP, port: 80, proto: PROTO_TCP, kind: FRONTEND_CLUSTER, serviceId: 1 },
      ],
      removeFrontends: [],
      policy: policies > 0 ? compilePolicies(policyTables(policies, clients, endpoints)) : null,
    });
  };
}
