import { VNET_HEADER_BYTES } from '../wire/layout.ts';

/** Packets read in one go; past this a batch only grows by fragments that were held. */
export const BATCH_PACKETS_MAX = 256;
export const BATCH_HELD_MAX = 64;
/** A read needs this much room: the largest IPv4 packet behind its virtio header. */
export const PACKET_BYTES_MAX = VNET_HEADER_BYTES + 65_535;
/** A batch stops reading here, so that its packets are still in the cache when they are written. */
export const BATCH_BYTES = 512 * 1024;
/** Room for a packet read at the limit, and for what is released behind it. */
export const BATCH_BUFFER_BYTES = BATCH_BYTES + (BATCH_HELD_MAX + 2) * 65_664;

/** The packet is a first fragment: later ones will follow its side. */
export const PACKET_FIRST_FRAGMENT = 1 << 8;
/** The checksum field holds the pseudo-header's sum only. */
export const PACKET_PARTIAL = 1 << 9;

export const KIND_FLOW = 0;
export const KIND_LATER_FRAGMENT = 1;
export const KIND_ICMP_ERROR = 2;

const SIZE = BATCH_PACKETS_MAX + BATCH_HELD_MAX;

/**
 * A batch of packets, one column per field. `start`, `length` and the buffer are the reader's; parse fills in the
 * rest; the verdicts are the pipeline's answer. Offsets count from the start of the buffer.
 */
export class Batch {
  readonly buffer: ArrayBuffer;
  readonly view: DataView;
  readonly bytes: Uint8Array;
  count = 0;
  /** Where the virtio header begins. */
  readonly start = new Int32Array(SIZE);
  /** Bytes from there, header included. */
  readonly length = new Int32Array(SIZE);
  readonly ip = new Int32Array(SIZE);
  readonly l4 = new Int32Array(SIZE);
  readonly kind = new Int32Array(SIZE);
  readonly src = new Int32Array(SIZE);
  readonly dst = new Int32Array(SIZE);
  readonly ports = new Int32Array(SIZE);
  readonly proto = new Int32Array(SIZE);
  /** TCP flags in the low byte, PACKET_* above. */
  readonly flags = new Int32Array(SIZE);
  /** Where the transport checksum lies. */
  readonly sumAt = new Int32Array(SIZE);
  readonly hash = new Int32Array(SIZE);
  /** Scratch of the touch pass. */
  readonly slot = new Int32Array(SIZE);
  readonly verdict = new Int32Array(SIZE);
  /** Side that the packet took, for the trace; NO_SIDE when it took none. */
  readonly side = new Int32Array(SIZE);

  constructor(buffer: ArrayBuffer) {
    this.buffer = buffer;
    this.view = new DataView(buffer);
    this.bytes = new Uint8Array(buffer);
  }

  /** Where the next packet may be put: behind the last one, on a cache line of its own. */
  end(): number {
    const last = this.count - 1;
    return last < 0 ? 0 : (this.start[last]! + this.length[last]! + 63) & ~63;
  }

  /** Takes in a packet that lies at `end()`. */
  push(bytes: number): void {
    this.start[this.count] = this.end();
    this.length[this.count] = bytes;
    this.count++;
  }
}

/** A batch over memory of its own. */
export function createBatch(): Batch {
  return new Batch(new ArrayBuffer(BATCH_BUFFER_BYTES));
}
