// Output batches for the merger, and a splitter that acts as the kernel's GSO does.
import { MERGE_TCP, MERGE_UDP, Merger } from '../../datapath/merge/merge.ts';
import {
  createBatch,
  P_LENGTH,
  P_START,
  P_VERDICT,
  P_WORDS,
} from '../../datapath/pipeline/batch.ts';
import { VERDICT_FORWARD, VERDICT_REPLY } from '../../datapath/pipeline/verdict.ts';
import { createTestDatapath } from './datapath.ts';
import { sum16 } from './packets.ts';

export interface Packet {
  frame: Uint8Array;
  /** VERDICT_* or minus a DROP_*; forwarded by default. */
  verdict?: number;
  port?: number;
}

/** Shared by all: a batch is empty before each use, and its output is copied. */
const BATCH = createBatch();
const DATAPATH = createTestDatapath();

/** The frames that are written for a batch's output, and what the counters grew by. */
export function writeMerged(packets: Packet[], kinds = MERGE_TCP | MERGE_UDP) {
  const b = BATCH;
  const { d, counter } = DATAPATH;
  const before = [counter('merged-trains'), counter('merged-packets')] as const;
  b.count = 0;
  for (const { frame, verdict = VERDICT_FORWARD, port = 0 } of packets) {
    b.bytes.set(frame, b.end());
    b.push(frame.length, port);
    b.p[((b.count - 1) * P_WORDS) | P_VERDICT] = verdict;
  }
  new Merger(kinds).run(d, b);
  const written: Uint8Array[] = [];
  for (let r = 0; r < b.count * P_WORDS; r += P_WORDS) {
    const verdict = b.p[r | P_VERDICT]!;
    const start = b.p[r | P_START]!;
    if (verdict < 0 || verdict > VERDICT_REPLY) continue;
    written.push(b.bytes.slice(start, start + b.p[r | P_LENGTH]!));
  }
  return {
    written,
    trains: counter('merged-trains') - before[0],
    packets: counter('merged-packets') - before[1],
  };
}

/** Offsets in a frame: a virtio header of 10 bytes, then an IPv4 header. */
const GSO_TYPE = 1;
const IP = 10;
const NEEDS_CSUM = 1;
const PSH_AND_FIN = 9;

/** Makes of a frame what leaves a device without offloads: packets with full checksums. */
export function split(frame: Uint8Array): Uint8Array[] {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  if (frame[GSO_TYPE] === 0) return [complete(frame)];
  const [headers, size] = [IP + view.getUint16(2, true), view.getUint16(4, true)];
  const pieces: Uint8Array[] = [];
  for (let at = headers; at < frame.length; at += size) {
    const payload = frame.subarray(at, at + size);
    const piece = Uint8Array.from([...frame.subarray(0, headers), ...payload]);
    const isLast = at + size >= frame.length;
    segment(piece, pieces.length, at - headers, isLast);
    pieces.push(complete(piece));
  }
  return pieces;
}

/** Gives a piece the fields of the `n`-th one, which begins `sent` bytes behind the first. */
function segment(piece: Uint8Array, n: number, sent: number, isLast: boolean): void {
  const view = new DataView(piece.buffer);
  const l4 = IP + (piece[IP]! & 15) * 4;
  const old = piece.length - IP;
  view.setUint16(IP + 2, old);
  view.setUint16(IP + 4, view.getUint16(IP + 4) + n);
  view.setUint16(IP + 10, 0);
  view.setUint16(IP + 10, 0xffff - sum16(piece.subarray(IP, l4)));
  const sumAt = IP + view.getUint16(6, true) + view.getUint16(8, true);
  const bytes = piece.length - l4;
  if (piece[IP + 9] === 17) view.setUint16(l4 + 4, bytes);
  else {
    view.setUint32(l4 + 4, view.getUint32(l4 + 4) + sent);
    if (!isLast) view.setUint8(l4 + 13, view.getUint8(l4 + 13) & ~PSH_AND_FIN);
  }
  const pseudo = [...piece.subarray(IP + 12, IP + 20), 0, piece[IP + 9]!, bytes >> 8, bytes & 255];
  view.setUint16(sumAt, sum16(pseudo));
}

/** The frame with a full checksum in place of a partial one, and an empty virtio header. */
function complete(frame: Uint8Array): Uint8Array {
  const done = Uint8Array.from(frame);
  const view = new DataView(done.buffer);
  if ((done[0]! & NEEDS_CSUM) !== 0) {
    const start = IP + view.getUint16(6, true);
    const at = start + view.getUint16(8, true);
    const sum = 0xffff - sum16(done.subarray(start));
    view.setUint16(at, done[IP + 9] === 17 && sum === 0 ? 0xffff : sum);
  }
  done.fill(0, 0, IP);
  return done;
}
