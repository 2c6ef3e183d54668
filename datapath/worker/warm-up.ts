// Trains V8 on the pipeline before the first packet. V8 optimises for the packets seen so far: a
// worker that sees only new connections at first gets code without inlined look-ups, and keeps it
// (65 or 117 ns a packet at 100,000 flows, different from start to start). So warm-up runs every
// kind of packet, mixed as in traffic, by the port of the kernel and by ports of pods.

import { mapArena } from '../arena/file.ts';
import {
  FRONTEND_CLUSTER,
  FRONTEND_NODEPORT,
  type ImageChange,
  type ServiceEntry,
} from '../image/image.ts';
import { ImageWriter } from '../image/writer.ts';
import { MERGE_TCP, MERGE_UDP, Merger } from '../merge/merge.ts';
import {
  type Batch,
  createBatch,
  P_IN,
  P_OUT,
  P_START,
  P_VERDICT,
  P_WORDS,
  PORT_MASK,
  PORT_POD,
} from '../pipeline/batch.ts';
import { Datapath } from '../pipeline/datapath.ts';
import { run, tick } from '../pipeline/run.ts';
import { VERDICT_FORWARD } from '../pipeline/verdict.ts';
import {
  PEER_FIRST,
  type PolicyChange,
  type PolicyPod,
  type PolicyRules,
} from '../policy/policy.ts';
import { sumBytes } from '../wire/checksum.ts';
import { PROTO_ICMP, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import {
  TCP_FLAG_ACK as ACK,
  TCP_FLAG_FIN as FIN,
  TCP_FLAG_RST as RST,
  TCP_FLAG_SYN as SYN,
} from '../wire/tcp.ts';
import { VNET_HEADER_BYTES } from '../wire/vnet.ts';

const BATCHES = 1500;
const PACKETS = 32;
/** One packet in this many is unusual. */
const ODD_ONE_IN = 16;
const CONNECTIONS = 64;
const REPUBLISH_BATCHES = 100;
/** Batches after which the two pods get ports, or lose them. */
const PORTS_BATCHES = 50;
const POD_PORT = 1;
const BACKEND_PORT = 2;
/** MTU of the backend's port. */
const NARROW = 1000;
const LARGE = 1200;
const NONE = new Int32Array(0);
const NOTHING: ImageChange = {
  ...{ node: null, upsert: [], remove: [], addFrontends: [], removeFrontends: [] },
};
/** The backend accepts connections from pods. The pod may send to all addresses but one. */
const POLICY: PolicyRules = {
  subjects: [
    { id: 1, enforced: [1], audited: [] },
    { id: 2, enforced: [2], audited: [3] },
  ],
  pairs: [
    { subject: 1, peer: PEER_FIRST, ports: 0 },
    { subject: 2, peer: PEER_FIRST + 1, ports: 1 },
    { subject: 2, peer: PEER_FIRST + 2, ports: 0 },
  ],
  portSets: [
    [
      { proto: PROTO_TCP, first: 80, last: 9000, policy: 1, rule: 0, audited: false },
      { proto: PROTO_UDP, first: 5353, last: 5353, policy: 1, rule: 1, audited: false },
    ],
    [{ proto: 0, first: 0, last: 65_535, policy: 2, rule: 0, audited: false }],
  ],
  prefixes: [
    { address: 0, length: 0, peer: PEER_FIRST + 1 },
    { address: 0x0b00_0009, length: 32, peer: PEER_FIRST + 2 },
  ],
  names: [],
};
const FIRST_PORT = 5000;
/** Packets in a row that can be merged, and their payload. */
const TRAIN = 4;
const TRAIN_BYTES = 16;

const NODE = 0x0a00_0001;
const POD = 0x0a01_0002;
const BACKEND = 0x0a01_0003;
const OUTSIDE = 0x0b00_0001;
const VIP = 0x0c00_0001;
const EMPTY_VIP = 0x0c00_0002;
const STICKY_VIP = 0x0c00_0003;
const UNALLOCATED = 0x0c00_0009;
/** A protocol that no policy covers. */
const PROTO_GRE = 47;
const MASK_8 = 0xff00_0000 | 0;

/** Runs the pipeline over a small private table for a while. */
export function warmUp(): void {
  const arena = mapArena({ flowsMax: 1024, imageWords: 1 << 15 }, 1);
  const d = new Datapath(arena, 1);
  const writer = new ImageWriter(arena);
  writer.publish(image());
  const b = createBatch();
  const merger = new Merger(MERGE_TCP | MERGE_UDP);
  d.ports.mtus[BACKEND_PORT] = NARROW;
  for (let n = 0; n < BATCHES; n++) {
    b.count = 0;
    // A new image makes UDP flows check their endpoint. Sometimes it also revalidates every flow.
    if (n % REPUBLISH_BATCHES === 0) writer.publish({ ...NOTHING, policy: policy(n) });
    if (n % PORTS_BATCHES === 0) {
      const hasPorts = n % (2 * PORTS_BATCHES) === 0;
      d.ports.set(POD_PORT, hasPorts ? POD : 0);
      d.ports.set(BACKEND_PORT, hasPorts ? BACKEND : 0);
    }
    for (let i = 0; i < PACKETS; i++) put(b, n * PACKETS + i);
    if (d.ports.count > 0) moveToPorts(b);
    run(d, b, n);
    merger.run(d, b);
    putTrains(b);
    merger.run(d, b);
    if (n % PACKETS === 0) tick(d, n * PACKETS);
  }
}

/** Lets packets of pods come by their ports. */
function moveToPorts({ p, view, count }: Batch): void {
  for (let r = 0; r < count * P_WORDS; r += P_WORDS) {
    const src = view.getInt32(p[r | P_START]! + VNET_HEADER_BYTES + 12);
    if (src === POD) p[r | P_IN] = POD_PORT | PORT_POD;
    if (src === BACKEND) p[r | P_IN] = BACKEND_PORT | PORT_POD;
    p[r | P_OUT] = p[r | P_IN]! & PORT_MASK;
  }
}

/**
 * Packet `n`: first handshakes, then segments of those connections in both directions, with some
 * other packets.
 */
function put(b: Batch, n: number): void {
  const port = FIRST_PORT + (n % CONNECTIONS);
  const step = Math.floor(n / CONNECTIONS);
  if (step === 0) putTcp(b, POD, VIP, ports(port, 80), SYN, n);
  else if (step === 1) putTcp(b, BACKEND, POD, ports(8080, port), SYN | ACK, n);
  else if (n % ODD_ONE_IN === 0) {
    const odd = n / ODD_ONE_IN;
    ODD[odd % ODD.length]!(b, 20_000 + (odd % 5000), odd);
  } else if ((step & 1) === 0) putTcp(b, POD, VIP, ports(port, 80), ACK, n);
  else putTcp(b, BACKEND, POD, ports(8080, port), ACK, n);
}

/** Packets other than segments of an established connection, one of each kind. */
const ODD: ((b: Batch, port: number, n: number) => void)[] = [
  (b, port, n) => putTcp(b, POD, VIP, ports(port, 80), SYN, n),
  (b, port, n) => putTcp(b, OUTSIDE, NODE, ports(port, 30_080), SYN, n),
  (b, port, n) => putTcp(b, POD, OUTSIDE, ports(port, 443), SYN, n),
  (b, port, n) => putTcp(b, POD, EMPTY_VIP, ports(port, 80), SYN, n),
  (b, port, n) => putTcp(b, POD, UNALLOCATED, ports(port, 80), SYN, n),
  (b, port, n) => putTcp(b, POD, VIP, ports(port, 80), ACK, n),
  (b, _, n) => putTcp(b, POD, VIP, ports(FIRST_PORT + (n % 4), 80), FIN | ACK, n),
  (b, _, n) => putTcp(b, BACKEND, POD, ports(8080, FIRST_PORT + (n % 4)), RST, n),
  (b, port, n) => putTcp(b, POD, BACKEND, ports(port, 8080), SYN, n),
  (b, _, n) => putDatagram(b, PROTO_UDP, POD, VIP, ports(FIRST_PORT, 53), n),
  (b, port, n) => putDatagram(b, PROTO_UDP, POD, VIP, ports(port, 53), n),
  (b, port, n) => putDatagram(b, PROTO_UDP, BACKEND, POD, ports(5353, port - 1), n),
  (b, _, n) => putDatagram(b, PROTO_ICMP, POD, OUTSIDE, ports(0x0800, 0), n),
  (b, port, n) => putTcp(b, POD, STICKY_VIP, ports(port, 80), SYN, n),
  // A repeated SYN.
  (b, _, n) => putTcp(b, POD, VIP, ports(FIRST_PORT - 1 - (n & 64), 80), SYN, n),
  (b, _, n) => b.push(VNET_HEADER_BYTES + (n % 60), 0),
  // At ports: an unknown protocol, a TTL that ends, and segments above the MTU of the other port.
  (b, port, n) => putDatagram(b, PROTO_GRE, POD, VIP, ports(port, 53), n),
  (b, port) => putSegment(b, port, SYN, 40, 1),
  (b, port) => putSegment(b, port, SYN, LARGE, 64),
  (b) => putSegment(b, FIRST_PORT + CONNECTIONS - 1, ACK, LARGE, 64),
];

function ports(from: number, to: number): number {
  return (from << 16) | to;
}

function putTcp(b: Batch, src: number, dst: number, ports: number, flags: number, n: number) {
  const ip = putHeader(b, src, dst, PROTO_TCP, 40, n);
  const { view } = b;
  view.setInt32(ip + 20, ports);
  view.setInt32(ip + 24, n);
  view.setInt32(ip + 28, n);
  view.setInt32(ip + 32, (0x5000 | flags) << 16);
  view.setInt32(ip + 36, n);
  b.push(VNET_HEADER_BYTES + 40, 0);
}

/** A segment of the pod with DF and a payload of zeros. */
function putSegment(b: Batch, port: number, flags: number, total: number, ttl: number) {
  const ip = putHeader(b, POD, VIP, PROTO_TCP, total, 0);
  const { view } = b;
  view.setUint16(ip + 6, 0x4000);
  view.setUint8(ip + 8, ttl);
  view.setUint16(ip + 10, 0);
  view.setUint16(ip + 10, ~sumBytes(view, ip, ip + 20) & 0xffff);
  view.setInt32(ip + 20, ports(port, 80));
  view.setInt32(ip + 32, (0x5000 | flags) << 16);
  b.push(VNET_HEADER_BYTES + total, 0);
}

/** UDP, or an ICMP echo, which has type and identifier in place of UDP's ports. */
function putDatagram(b: Batch, proto: number, src: number, dst: number, ports: number, n: number) {
  const ip = putHeader(b, src, dst, proto, 28, 1);
  const { view } = b;
  view.setInt32(ip + 20, ports);
  view.setInt32(ip + 24, proto === PROTO_UDP ? 8 << 16 : n);
  b.push(VNET_HEADER_BYTES + 28, 0);
}

/**
 * Writes virtio and IPv4 headers and returns the latter's offset. An even `n` has a partial sum.
 */
function putHeader(b: Batch, src: number, dst: number, proto: number, total: number, n: number) {
  const { view } = b;
  const vnet = b.end();
  const ip = vnet + VNET_HEADER_BYTES;
  b.bytes.fill(0, vnet, ip + total);
  if ((n & 1) === 0) {
    view.setUint8(vnet, 1);
    view.setUint16(vnet + 6, 20, true);
    view.setUint16(vnet + 8, 16, true);
  }
  view.setInt32(ip, (0x4500 << 16) | total);
  view.setInt32(ip + 8, (64 << 24) | (proto << 16));
  view.setInt32(ip + 12, src);
  view.setInt32(ip + 16, dst);
  view.setUint16(ip + 10, ~sumBytes(view, ip, ip + 20) & 0xffff);
  return ip;
}

/** Output that merges: datagrams and segments in turn. */
function putTrains(b: Batch): void {
  const { p, view } = b;
  b.count = 0;
  for (let i = 0; i < PACKETS; i++) {
    const isTcp = (i & TRAIN) !== 0;
    const headers = isTcp ? 40 : 28;
    const total = headers + TRAIN_BYTES;
    const ip = putHeader(b, POD, BACKEND, isTcp ? PROTO_TCP : PROTO_UDP, total, 0);
    view.setInt32(ip + 4, (i << 16) | 0x4000); // Identification, and DF.
    view.setInt32(ip + 20, ports(FIRST_PORT, 80));
    if (isTcp) {
      view.setInt32(ip + 24, i * TRAIN_BYTES);
      view.setInt32(ip + 32, (0x5000 | ACK) << 16);
    } else {
      view.setUint8(ip - VNET_HEADER_BYTES + 8, 6);
      view.setUint16(ip + 24, 8 + TRAIN_BYTES);
    }
    p[(i * P_WORDS) | P_VERDICT] = VERDICT_FORWARD;
    b.push(VNET_HEADER_BYTES + total, 0);
  }
}

function policy(n: number): PolicyChange {
  const pod = (address: number, ingress: number, egress: number): PolicyPod => ({
    ...{ address, ingress, egress, node: NODE + 1, peer: PEER_FIRST, born: 0, uid: 0 },
  });
  const pods = [pod(POD, 0, 2), pod(BACKEND, 1, 0), pod(BACKEND + 1, 0, 0)];
  return { generation: n, active: n % (4 * REPUBLISH_BATCHES) !== 0, pods, rules: POLICY };
}

function image(): ImageChange {
  const service = (id: number, proto: number, ...cluster: number[]): ServiceEntry => ({
    ...{ id, name: 'warm/up:1', proto, flags: 0, affinityS: 0 },
    ...{ cluster: Int32Array.from(cluster), local: NONE, serving: NONE, sourceRanges: NONE },
  });
  const frontend = (address: number, port: number, serviceId: number, proto = PROTO_TCP) => ({
    ...{ address, port, serviceId, proto },
    kind: address === NODE ? FRONTEND_NODEPORT : FRONTEND_CLUSTER,
  });
  return {
    ...NOTHING,
    node: {
      ...{ nodeAddress: NODE, nodeAddresses: [NODE], snatPortMin: 40_000, snatPortMax: 65_534 },
      podRanges: [{ address: POD & MASK_8, mask: MASK_8 }],
      serviceRange: { address: VIP & MASK_8, mask: MASK_8 },
    },
    upsert: [
      service(1, PROTO_TCP, BACKEND, 8080),
      service(2, PROTO_UDP, BACKEND, 5353),
      service(3, PROTO_TCP),
      { ...service(4, PROTO_TCP, BACKEND, 8080, BACKEND + 1, 8080), affinityS: 60 },
    ],
    addFrontends: [
      frontend(VIP, 80, 1),
      frontend(NODE, 30_080, 1),
      frontend(VIP, 53, 2, PROTO_UDP),
      frontend(EMPTY_VIP, 80, 3),
      frontend(STICKY_VIP, 80, 4),
    ],
  };
}
