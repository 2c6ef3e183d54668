import { VNET_HEADER_BYTES } from '../wire/vnet.ts';

/** Packets read into a batch. Held fragments may join it beyond this number. */
export const BATCH_PACKETS_MAX = 256;
export const BATCH_HELD_MAX = 64;
/** The largest fragment that is held. */
export const HELD_BYTES_MAX = 9216;
/** The largest IPv4 packet with its virtio header: the room that a read needs. */
export const PACKET_BYTES_MAX = VNET_HEADER_BYTES + 65_535;
/** Reading stops at this size, so that packets are still in the cache when they are written. */
export const BATCH_BYTES = 512 * 1024;
/** A batch releases at most the fragments held before it and those that it has read. */
const PACKETS = BATCH_PACKETS_MAX + BATCH_HELD_MAX + BATCH_PACKETS_MAX;
/**
 * Room for one packet read at the limit and for released fragments, each on its own cache lines.
 */
export const BATCH_BUFFER_BYTES =
  BATCH_BYTES + 2 * 65_664 + (PACKETS - BATCH_PACKETS_MAX) * (HELD_BYTES_MAX + 128);

/**
 * Masks that change no count and no offset of a batch. V8 learns the range of a value from them,
 * and leaves out checks for overflow.
 */
export const COUNT_MASK = 1023;
export const OFFSET_MASK = (1 << 23) - 1;

/** A first fragment: later ones follow its side. */
export const PACKET_FIRST_FRAGMENT = 1 << 8;
/** The checksum field holds the pseudo-header's sum only. */
export const PACKET_PARTIAL = 1 << 9;

export const KIND_FLOW = 0;
export const KIND_LATER_FRAGMENT = 1;
export const KIND_ICMP_ERROR = 2;

/** An ICMP error replaces the packet and quotes it after an IPv4 and an ICMP header. */
const ANSWER_BYTES = 28;

// A packet's record: sixteen words, one cache line. One typed array for all fields, not one per
// field: the JIT then loads its base and length once per function (113 -> 60 ns a packet).
export const P_WORDS = 16;
export const RECORD_BYTES = P_WORDS * 4;
/** Where the virtio header begins. Offsets are bytes from the start of the buffer. */
export const P_START = 0;
/** Bytes from P_START, virtio header included. */
export const P_LENGTH = 1;
export const P_IP = 2;
export const P_L4 = 3;
export const P_KIND = 4;
export const P_SRC = 5;
export const P_DST = 6;
export const P_PORTS = 7;
export const P_PROTO = 8;
/** TCP flags in the low byte, PACKET_* above. */
export const P_FLAGS = 9;
/** Where the transport checksum lies. Before parse, prefetch uses this word as scratch. */
export const P_SUM_AT = 10;
export const P_HASH = 11;
/** Before parse: ENTER_*, or minus a DROP_*. */
export const P_VERDICT = 13;
/** The packet's side, or NO_SIDE. Before parse: the side that prefetch found. */
export const P_SIDE = 14;
/** The port that the packet came from: its number in the low bits, PORT_* above. */
export const P_IN = 12;
/** Number of the port that the packet leaves by; that of P_IN unless a stage says otherwise. */
export const P_OUT = 15;

/** Ports of a datapath, a power of two. Port 0 leads to the node's kernel. */
export const PORTS_MAX = 1024;
export const PORT_MASK = PORTS_MAX - 1;
/** A port to which the node sends packets of pods with a foreign source address. */
export const PORT_SPOOFED = 1 << 10;
/** A port that leads to one pod. */
export const PORT_POD = 1 << 11;

/**
 * A batch of packets. The reader fills in buffer, start, length and ports, parse the rest, the
 * pipeline the verdicts. The record of packet `i` is at `i * P_WORDS`, called `r` in the code.
 */
export class Batch {
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly p = new Int32Array(PACKETS * P_WORDS);
  /** `p` for prefetch and fast path, see Datapath.lineView. */
  readonly records = new DataView(this.p.buffer);
  count = 0;

  constructor(buffer: ArrayBuffer) {
    this.view = new DataView(buffer);
    this.bytes = new Uint8Array(buffer);
  }

  /**
   * Where the next packet goes: after the last one and room for its answer, on a new cache line.
   */
  end(): number {
    if (this.count === 0) return 0;
    const last = (this.count - 1) * P_WORDS;
    return (this.p[last | P_START]! + this.p[last | P_LENGTH]! + ANSWER_BYTES + 63) & ~63;
  }

  /** Adds the packet that lies at `end()`. `port` is its P_IN. */
  push(bytes: number, port: number): void {
    const at = this.end();
    const r = this.count * P_WORDS;
    this.p[r | P_START] = at;
    this.p[r | P_LENGTH] = bytes;
    this.p[r | P_IN] = port;
    this.p[r | P_OUT] = port & PORT_MASK;
    this.count++;
  }
}

/** A batch with its own memory. */
export function createBatch(): Batch {
  return new Batch(new ArrayBuffer(BATCH_BUFFER_BYTES));
}
