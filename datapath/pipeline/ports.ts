// Ports of pods. The first stage of a packet from a pod checks its source. The last one chooses the
// port that a forwarded packet leaves by. Each takes one hop, as the node's kernel does on each
// side of the datapath where a pod has a cable (docs/adr/0023).

import { hashKey } from '../map.ts';
import { patchFull } from '../wire/checksum.ts';
import { ICMP_ECHO_REPLY, ICMP_ECHO_REQUEST } from '../wire/icmp.ts';
import {
  IP4_FLAG_DONT_FRAGMENT,
  IP4_FRAGMENT_OFFSET_MASK,
  IP4_HEADER_BYTES_MIN,
  IP4_OFF_DST,
  IP4_OFF_FRAGMENT,
  IP4_OFF_PROTO,
  IP4_OFF_SRC,
  IP4_OFF_TTL,
  IP4_TOTAL_BYTES_MAX,
  PROTO_ICMP,
  PROTO_SCTP,
  PROTO_TCP,
  PROTO_UDP,
} from '../wire/ipv4.ts';
import { TCP_OFF_DATA } from '../wire/tcp.ts';
import { UDP_HEADER_BYTES } from '../wire/udp.ts';
import { VNET_HEADER_BYTES, VNET_OFF_GSO_SIZE, VNET_OFF_GSO_TYPE } from '../wire/vnet.ts';
// biome-ignore format: a list.
import {
  type Batch, COUNT_MASK, P_IN, P_LENGTH, P_OUT, P_START, P_VERDICT, P_WORDS, PORT_MASK,
  PORT_SPOOFED, PORTS_MAX,
} from './batch.ts';
import { DROP_PROTOCOL, DROP_SPOOFED } from './verdict.ts';

/** The packet goes on to the other stages. */
export const ENTER_PASS = 0;
/** The packet's TTL ends here. */
export const ENTER_EXPIRED = 1;

/** The port of the node's kernel. */
const PORT_KERNEL = 0;
/** Slots of the route map: a load of at most one quarter. */
const SLOTS = PORTS_MAX * 4;
const TTL_ONE = 1 << 24;
/** Sum of a TTL that is one less, in the checksum word of TTL and protocol. */
const TTL_STEP_DOWN = 0xfeff;

/** Which address a port has, and which port leads to an address. */
export class PortMap {
  /** Ports of pods. Without any, a packet leaves by the port that it came from. */
  count = 0;
  /** By port: the address of its pod, 0 for none. */
  readonly addresses = new Int32Array(PORTS_MAX);
  /** By port: MTU of its device. */
  readonly mtus = new Int32Array(PORTS_MAX).fill(IP4_TOTAL_BYTES_MAX);
  readonly #keys = new Int32Array(SLOTS);
  /** By slot: a port, 0 for a free slot. */
  readonly #ports = new Int32Array(SLOTS);
  readonly #seed: number;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Sets the address behind a port, 0 for no pod, and builds the map again. */
  set(port: number, address: number): void {
    this.addresses[port] = address;
    this.#ports.fill(0);
    this.count = 0;
    for (let n = 1; n < PORTS_MAX; n++) {
      const own = this.addresses[n]!;
      if (own === 0) continue;
      const slot = this.#slotOf(own);
      this.#keys[slot] = own;
      this.#ports[slot] = n;
      this.count++;
    }
  }

  /** The port that leads to an address. */
  portOf(address: number): number {
    return this.#ports[this.#slotOf(address)]!;
  }

  /** The slot of an address, or the free one where a search for it ends. */
  #slotOf(address: number): number {
    let slot = hashKey(address, address, this.#seed) & (SLOTS - 1);
    for (let probes = 0; probes < PORTS_MAX; probes++) {
      if (this.#ports[slot] === 0 || this.#keys[slot] === address) break;
      slot = (slot + 1) & (SLOTS - 1);
    }
    return slot;
  }
}

/** Enters all packets from record `from` on; their verdict is what `enter` says. */
export function enterAll(ports: PortMap, b: Batch, from: number): void {
  const { p } = b;
  const end = (b.count & COUNT_MASK) * P_WORDS;
  for (let r = from; r < end; r += P_WORDS) {
    p[r | P_VERDICT] = p[r | P_IN]! <= PORT_MASK ? ENTER_PASS : enter(ports, b, r);
  }
}

/**
 * Checks packet `r` of a port with PORT_* and takes its hop: ENTER_*, or minus a DROP_*. Runs
 * before parse, so the result means nothing for a malformed packet.
 */
function enter(ports: PortMap, b: Batch, r: number): number {
  const { p, view } = b;
  const from = p[r | P_IN]!;
  if ((from & PORT_SPOOFED) !== 0) return -DROP_SPOOFED;
  const ip = p[r | P_START]! + VNET_HEADER_BYTES;
  // Parse drops it.
  if (p[r | P_LENGTH]! < VNET_HEADER_BYTES + IP4_HEADER_BYTES_MIN) return ENTER_PASS;
  const address = ports.addresses[from & PORT_MASK]!;
  if (address === 0 || view.getInt32(ip + IP4_OFF_SRC) !== address) return -DROP_SPOOFED;
  const word = view.getInt32(ip + IP4_OFF_TTL);
  const proto = (word >>> 16) & 0xff;
  if (proto !== PROTO_TCP && proto !== PROTO_UDP && proto !== PROTO_ICMP && proto !== PROTO_SCTP) {
    return -DROP_PROTOCOL;
  }
  if (word >>> 24 <= 1) return ENTER_EXPIRED;
  view.setInt32(ip + IP4_OFF_TTL, lowerTtl(word));
  return ENTER_PASS;
}

/**
 * Chooses the port that forwarded packet `r` leaves by, and takes the hop of a pod's port. False if
 * the packet is too large for that port, and must be answered.
 */
export function leave(ports: PortMap, b: Batch, r: number): boolean {
  const { p, view } = b;
  const ip = p[r | P_START]! + VNET_HEADER_BYTES;
  const port = ports.portOf(view.getInt32(ip + IP4_OFF_DST));
  p[r | P_OUT] = port;
  if (port === PORT_KERNEL) return true;
  const mtu = ports.mtus[port]!;
  if (p[r | P_LENGTH]! - VNET_HEADER_BYTES > mtu && isTooLarge(b, r, mtu)) return false;
  const word = view.getInt32(ip + IP4_OFF_TTL);
  // Before the first image no stage has restored a hop.
  if (word >>> 24 > 1) view.setInt32(ip + IP4_OFF_TTL, lowerTtl(word));
  return true;
}

/**
 * True if packet `r`, which is longer than `mtu`, must be answered. Other packets reach the pod
 * whole: those that a router would fragment, ICMP errors, and later fragments (RFC 1812 4.3.2.7). A
 * train counts as the packets that it is split into.
 */
function isTooLarge({ p, view }: Batch, r: number, mtu: number): boolean {
  const vnet = p[r | P_START]!;
  const ip = vnet + VNET_HEADER_BYTES;
  const fragment = view.getUint16(ip + IP4_OFF_FRAGMENT);
  if ((fragment & IP4_FLAG_DONT_FRAGMENT) === 0 || (fragment & IP4_FRAGMENT_OFFSET_MASK) !== 0) {
    return false;
  }
  const headerBytes = (view.getUint8(ip) & 15) << 2;
  const l4 = ip + headerBytes;
  const proto = view.getUint8(ip + IP4_OFF_PROTO);
  if (proto === PROTO_ICMP) {
    const type = view.getUint8(l4);
    return type === ICMP_ECHO_REQUEST || type === ICMP_ECHO_REPLY;
  }
  if (view.getUint8(vnet + VNET_OFF_GSO_TYPE) === 0) return true;
  const l4Bytes =
    proto === PROTO_TCP ? (view.getUint8(l4 + TCP_OFF_DATA) >>> 4) << 2 : UDP_HEADER_BYTES;
  return headerBytes + l4Bytes + view.getUint16(vnet + VNET_OFF_GSO_SIZE, true) > mtu;
}

/** The header's third word with a TTL that is one less, and the checksum for it. */
function lowerTtl(word: number): number {
  return ((word - TTL_ONE) & ~0xffff) | patchFull(word & 0xffff, TTL_STEP_DOWN);
}
