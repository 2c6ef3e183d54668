// Packets as bytes, made and read without any code of the datapath: an independent oracle.

export const SYN = 2;
export const ACK = 16;
export const FIN = 1;
export const RST = 4;
export const PSH = 8;

export interface PacketOptions {
  ttl?: number;
  /** IP options, padded to four bytes by the caller. */
  options?: number[];
  id?: number;
  /** Fragment flags and offset word. */
  fragment?: number;
  /** Leave the transport checksum partial, as the kernel does with offloads on. */
  partial?: boolean;
  /** Segment size in the virtio header; 0 is none. */
  gsoSize?: number;
}

export interface TcpOptions extends PacketOptions {
  seq?: number;
  ack?: number;
  tcpOptions?: number[];
}

/** `10.0.0.1:80` or `10.0.0.1`. */
function endpoint(text: string): { bytes: number[]; port: number } {
  const [address, port] = text.split(':');
  return { bytes: address!.split('.').map(Number), port: Number(port ?? 0) };
}

/** RFC 1071 over a list of bytes, folded and not complemented. */
export function sum16(bytes: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  return sum;
}

/** CRC-32C bit by bit, as an unsigned number. */
export function crc32c(bytes: Iterable<number>): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f6_3b78 : 0);
  }
  return ~crc >>> 0;
}

const word = (n: number): number[] => [(n >> 8) & 255, n & 255];
const long = (n: number): number[] => [...word(n >>> 16), ...word(n & 0xffff)];
const not16 = (n: number): number => 0xffff - n;

function pseudo(src: number[], dst: number[], proto: number, length: number): number[] {
  return [...src, ...dst, 0, proto, ...word(length)];
}

/** A frame as read from the TUN: virtio header, IPv4 header, payload. */
export function ip4(
  src: string,
  dst: string,
  proto: number,
  payload: number[],
  o: PacketOptions = {},
  vnet: number[] = new Array(10).fill(0),
): Uint8Array {
  const options = o.options ?? [];
  const headerBytes = 20 + options.length;
  const header = [
    0x40 | (headerBytes / 4),
    0,
    ...word(headerBytes + payload.length),
    ...word(o.id ?? 7),
    ...word(o.fragment ?? 0x4000),
    o.ttl ?? 63,
    proto,
    0,
    0,
    ...endpoint(src).bytes,
    ...endpoint(dst).bytes,
    ...options,
  ];
  const sum = not16(sum16(header));
  header[10] = sum >> 8;
  header[11] = sum & 255;
  return Uint8Array.from([...vnet, ...header, ...payload]);
}

function vnetHeader(
  o: PacketOptions,
  sumOffset: number,
  gsoType: number,
  l4Header: number,
): number[] {
  if (!o.partial) return new Array(10).fill(0);
  const start = 20 + (o.options?.length ?? 0);
  const le = (n: number): number[] => [n & 255, n >> 8];
  const gso = o.gsoSize ?? 0;
  return [
    1,
    gso ? gsoType : 0,
    ...le(start + l4Header),
    ...le(gso),
    ...le(start),
    ...le(sumOffset),
  ];
}

export function tcp4(
  from: string,
  to: string,
  flags: number,
  payload: number[] = [],
  o: TcpOptions = {},
): Uint8Array {
  const src = endpoint(from);
  const dst = endpoint(to);
  const options = o.tcpOptions ?? [];
  const headerBytes = 20 + options.length;
  const segment = [
    ...word(src.port),
    ...word(dst.port),
    ...long(o.seq ?? 1000),
    ...long(o.ack ?? 0),
    (headerBytes / 4) << 4,
    flags,
    ...word(0xfaf0),
    0,
    0,
    0,
    0,
    ...options,
    ...payload,
  ];
  const header = pseudo(src.bytes, dst.bytes, 6, segment.length);
  const sum = o.partial ? sum16(header) : not16(sum16([...header, ...segment]));
  segment[16] = sum >> 8;
  segment[17] = sum & 255;
  return ip4(from, to, 6, segment, o, vnetHeader(o, 16, 1, headerBytes));
}

export function udp4(
  from: string,
  to: string,
  payload: number[] = [1, 2, 3],
  o: PacketOptions & { noSum?: boolean } = {},
): Uint8Array {
  const src = endpoint(from);
  const dst = endpoint(to);
  const datagram = [
    ...word(src.port),
    ...word(dst.port),
    ...word(8 + payload.length),
    0,
    0,
    ...payload,
  ];
  const header = pseudo(src.bytes, dst.bytes, 17, datagram.length);
  const full = not16(sum16([...header, ...datagram])) || 0xffff;
  const sum = o.noSum ? 0 : o.partial ? sum16(header) : full;
  datagram[6] = sum >> 8;
  datagram[7] = sum & 255;
  return ip4(from, to, 17, datagram, o, vnetHeader(o, 6, 5, 8));
}

export function icmp4(
  from: string,
  to: string,
  type: number,
  code: number,
  rest: number[],
  o: PacketOptions = {},
): Uint8Array {
  const message = [type, code, 0, 0, ...rest];
  const sum = not16(sum16(message));
  message[2] = sum >> 8;
  message[3] = sum & 255;
  return ip4(from, to, 1, message, o);
}

export function echo4(from: string, to: string, id: number, reply = false): Uint8Array {
  return icmp4(from, to, reply ? 0 : 8, 0, [...word(id), 0, 1, 9, 9, 9, 9]);
}

/**
 * An ICMP error that quotes the IP part of a frame; `rest` is its second word (the MTU, for 3/4).
 */
export function icmpError4(
  from: string,
  to: string,
  type: number,
  code: number,
  quoted: Uint8Array,
  rest = 0,
): Uint8Array {
  const quote = Array.from(quoted.subarray(10, 10 + 20 + 8 + 12));
  return icmp4(from, to, type, code, [...long(rest), ...quote]);
}

/** The frame with one hop restored, as a forwarded frame leaves the datapath. */
export function hopBack(frame: Uint8Array): Uint8Array {
  const back = Uint8Array.from(frame);
  back[18] = back[18]! + 1;
  back.fill(0, 20, 22);
  const sum = not16(sum16(back.subarray(10, 10 + (back[10]! & 15) * 4)));
  back.set([sum >> 8, sum & 255], 20);
  return back;
}

/** Splits a frame's payload into fragments of at most `bytes` (a multiple of 8) each. */
export function fragment4(frame: Uint8Array, bytes: number): Uint8Array[] {
  const header = Array.from(frame.subarray(10, 30));
  const payload = Array.from(frame.subarray(30));
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < payload.length; at += bytes) {
    const more = at + bytes < payload.length ? 0x2000 : 0;
    const dotted = (n: number): string => header.slice(n, n + 4).join('.');
    pieces.push(
      ip4(dotted(12), dotted(16), header[9]!, payload.slice(at, at + bytes), {
        id: header[4]! * 256 + header[5]!,
        ttl: header[8]!,
        fragment: more | (at / 8),
      }),
    );
  }
  return pieces;
}

export interface Decoded {
  src: string;
  dst: string;
  proto: number;
  ttl: number;
  id: number;
  totalLength: number;
  ipOk: boolean;
  /** True if the transport checksum is right; for a partial one, the sum of the pseudo-header. */
  l4Ok: boolean;
  sport: number;
  dport: number;
  flags: number;
  seq: number;
  ack: number;
  type: number;
  code: number;
  payload: Uint8Array;
}

/** Parses a frame and computes every sum again. */
export function decode(frame: Uint8Array): Decoded {
  const ip = frame.subarray(10);
  const headerBytes = (ip[0]! & 15) * 4;
  const totalLength = ip[2]! * 256 + ip[3]!;
  const l4 = ip.subarray(headerBytes, totalLength);
  const proto = ip[9]!;
  const partial = (frame[0]! & 1) !== 0;
  const head = pseudo(
    Array.from(ip.subarray(12, 16)),
    Array.from(ip.subarray(16, 20)),
    proto,
    l4.length,
  );
  const at = (n: number): number => l4[n]! * 256 + l4[n + 1]!;
  const sumAt = proto === 6 ? 16 : 6;
  const whole = proto === 1 ? sum16(l4) : sum16([...head, ...l4]);
  const unsummed = proto === 17 && at(6) === 0;
  const l4Ok = partial ? at(sumAt) % 0xffff === sum16(head) % 0xffff : unsummed || whole === 0xffff;
  const u32 = (n: number): number => (at(n) * 65536 + at(n + 2)) >>> 0;
  const dataAt = proto === 6 ? (l4[12]! >> 4) * 4 : 8;
  return {
    src: ip.subarray(12, 16).join('.'),
    dst: ip.subarray(16, 20).join('.'),
    proto,
    ttl: ip[8]!,
    id: ip[4]! * 256 + ip[5]!,
    totalLength,
    ipOk: sum16(ip.subarray(0, headerBytes)) === 0xffff,
    l4Ok,
    sport: at(0),
    dport: at(2),
    flags: proto === 6 ? l4[13]! : 0,
    seq: proto === 6 ? u32(4) : 0,
    ack: proto === 6 ? u32(8) : 0,
    type: l4[0]!,
    code: l4[1]!,
    payload: l4.subarray(dataAt),
  };
}
