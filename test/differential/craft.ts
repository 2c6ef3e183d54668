// A step of a walk as bytes. Uses no code of the datapath, so that the packets are independent of
// it.
import { parseAddress } from '../../datapath/wire/address.ts';
import type { Damage, Piece, Step } from './walk.ts';

/** Addresses and ports of a packet at its sender. */
export interface Ends {
  src: number;
  sport: number;
  dst: number;
  dport: number;
}

const TCP = 6;
const UDP = 17;
const ICMP = 1;
const MORE = 0x2000;
const DF = 0x4000;
const PROTOS = { tcp: TCP, udp: UDP, echo: ICMP, icmp: ICMP };

export function sum16(bytes: Buffer, start = 0): number {
  let sum = start;
  const even = bytes.length & ~1;
  for (let i = 0; i < even; i += 2) sum += bytes.readUInt16BE(i);
  if (even < bytes.length) sum += bytes[even]! << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

export function pseudoSum(packet: Buffer, bytes: number): number {
  return sum16(packet.subarray(12, 20), packet[9]! + bytes);
}

export function words(text: string): number {
  return parseAddress(text)! | 0;
}

/**
 * The frames of a step, several if it is fragmented. `received` is its sender's last received
 * packet.
 */
export function craft(step: Step, ends: Ends, id: number, received: Buffer | null): Buffer[] {
  const proto = PROTOS[step.kind];
  const body = bodyOf(step, ends, received);
  const whole = header(step, ends, proto, id, step.df === false ? 0 : DF, body);
  sumTransport(whole, step.damage);
  const damaged = step.damage ? damage(whole, step.damage) : whole;
  if (!step.pieces) return [damaged];
  const payload = damaged.subarray((damaged[0]! & 15) * 4);
  return step.pieces.map((piece) => pieceOf(step, ends, proto, id, piece, payload));
}

function header(
  { ttl, tos, options }: Pick<Step, 'ttl' | 'tos' | 'options'>,
  ends: Ends,
  proto: number,
  id: number,
  fragment: number,
  body: Buffer,
): Buffer {
  const bytes = 20 + (options?.length ?? 0);
  const packet = Buffer.alloc(bytes + body.length);
  packet[0] = 0x40 | (bytes / 4);
  packet[1] = tos ?? 0;
  packet.writeUInt16BE(packet.length, 2);
  packet.writeUInt16BE(id, 4);
  packet.writeUInt16BE(fragment, 6);
  packet[8] = ttl ?? 64;
  packet[9] = proto;
  packet.writeInt32BE(ends.src, 12);
  packet.writeInt32BE(ends.dst, 16);
  if (options) packet.set(options, 20);
  body.copy(packet, bytes);
  sumHeader(packet);
  return packet;
}

/** Writes the checksum of an IPv4 header. */
export function sumHeader(packet: Buffer): void {
  packet.writeUInt16BE(0, 10);
  packet.writeUInt16BE(0xffff - sum16(packet.subarray(0, (packet[0]! & 15) * 4)), 10);
}

function pieceOf(
  step: Step,
  ends: Ends,
  proto: number,
  id: number,
  [at, bytes, isLast]: Piece,
  payload: Buffer,
): Buffer {
  const word = (isLast ? 0 : MORE) | (at >> 3);
  return header(
    { ttl: step.ttl, tos: step.tos },
    ends,
    proto,
    id,
    word,
    payload.subarray(at, at + bytes),
  );
}

function bodyOf(step: Step, ends: Ends, received: Buffer | null): Buffer {
  if (step.kind === 'tcp') return tcpBody(step, ends);
  const bytes = step.kind === 'icmp' ? 0 : step.data;
  const body = Buffer.alloc(8 + bytes, 0x61);
  if (step.kind === 'udp') {
    body.writeUInt16BE(ends.sport, 0);
    body.writeUInt16BE(ends.dport, 2);
    body.writeUInt16BE(body.length, 4);
    body.writeUInt16BE(0, 6);
    return body;
  }
  body.writeUInt32BE(0, 0);
  body[0] = step.type;
  if (step.kind === 'echo') {
    body.writeUInt16BE(step.from === 'client' ? ends.sport : ends.dport, 4);
    body.writeUInt16BE(1, 6);
    return body;
  }
  body[1] = step.code;
  body.writeUInt32BE(step.word >>> 0, 4);
  const quoted = quoteOf(step, ends, received).subarray(0, step.quoteBytes);
  return Buffer.concat([body, quoted]);
}

function quoteOf(step: Step & { kind: 'icmp' }, ends: Ends, received: Buffer | null): Buffer {
  if (step.quote === 'none') return Buffer.alloc(0);
  if (step.quote === 'received' && received) return received;
  // A packet that was never sent.
  const back = { src: ends.dst, sport: ends.dport, dst: ends.src, dport: 9 };
  return craft({ kind: 'udp', from: 'client', data: 20 }, back, 0xfff0, null)[0]!;
}

function tcpBody(step: Step & { kind: 'tcp' }, ends: Ends): Buffer {
  const options = step.tcpOptions ?? [];
  const bytes = 20 + options.length;
  const body = Buffer.alloc(bytes + step.data, 0x62);
  body.writeUInt16BE(ends.sport, 0);
  body.writeUInt16BE(ends.dport, 2);
  body.writeUInt32BE(step.seq >>> 0, 4);
  body.writeUInt32BE(step.ack >>> 0, 8);
  body[12] = (bytes / 4) << 4;
  body[13] = step.flags;
  body.writeUInt16BE(0xfaf0, 14);
  body.writeUInt32BE(0, 16);
  body.set(options, 20);
  return body;
}

const SUM_AT: Record<number, number> = { [TCP]: 16, [UDP]: 6, [ICMP]: 2 };

function sumTransport(packet: Buffer, damage: Damage | undefined): void {
  const l4 = packet.subarray((packet[0]! & 15) * 4);
  const proto = packet[9]!;
  const start = proto === ICMP ? 0 : pseudoSum(packet, l4.length);
  const sum = 0xffff - sum16(l4, start);
  const value = proto === UDP && damage === 'no-sum' ? 0 : proto === UDP ? sum || 0xffff : sum;
  l4.writeUInt16BE(damage === 'sum' ? value ^ 0x5555 : value, SUM_AT[proto]!);
}

function damage(packet: Buffer, kind: Damage): Buffer {
  const at = (packet[0]! & 15) * 4;
  const proto = packet[9];
  switch (kind) {
    case 'ip-sum':
      packet.writeUInt16BE(packet.readUInt16BE(10) ^ 0x5555, 10);
      return packet;
    case 'version':
      packet[0] = 0x60 | (packet[0]! & 15);
      return packet;
    case 'cut-header':
      return totalOf(packet.subarray(0, at + 4), at + 4);
    case 'long-total':
      return totalOf(packet, packet.length + 8);
    case 'short-total':
      return totalOf(packet, packet.length - 1);
    case 'trailer':
      return Buffer.concat([packet, Buffer.alloc(6, 0xee)]);
    case 'l4-length-long':
    case 'l4-length-short':
      if (proto === UDP)
        packet.writeUInt16BE(kind === 'l4-length-long' ? packet.length : 7, at + 4);
      return packet;
    case 'data-offset-short':
    case 'data-offset-long':
      if (proto === TCP) packet[at + 12] = kind === 'data-offset-long' ? 0xf0 : 0x40;
      return packet;
    default:
      return packet;
  }
}

function totalOf(packet: Buffer, total: number): Buffer {
  const copy = Buffer.from(packet);
  copy.writeUInt16BE(total, 2);
  sumHeader(copy);
  return copy;
}
