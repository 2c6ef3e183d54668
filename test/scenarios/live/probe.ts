// Probes: first packets of connections, each with a number that identifies it on arrival. Reads and
// writes packets without the datapath's code.
import type { Tuple } from '../../../datapath/observe/packet.ts';
import { formatAddress, parseAddress } from '../../../datapath/wire/address.ts';
import { PROTO_ICMP, PROTO_SCTP, PROTO_TCP, PROTO_UDP } from '../../../datapath/wire/ipv4.ts';
import { crc32c, decode, icmp4, ip4, RST, SYN, tcp4, udp4 } from '../../support/packets.ts';

/** As in test/e2e/clients/places.py. */
const MARK = [...Buffer.from('ktun')];
const VNET = Buffer.alloc(10);
const ECHO_REQUEST = 8;
const UNREACHABLE = 3;
const SCTP_INIT = 1;
/** After the common header: type, flags, length, then the initiate tag. */
const INITIATE_TAG_AT = 16;

/** A delivery: a probe, or the refusal of one, by the sender's tuple. */
export type Arrival =
  | { kind: 'probe'; id: number; left: Tuple; damaged: boolean }
  | { kind: 'refusal'; of: string };

/** A probe's IPv4 packet. `id` is a number of 32 bits and not 0. */
export function makeProbe(t: Tuple, id: number): Buffer {
  const from = `${formatAddress(t.src)}:${t.sport}`;
  const to = `${formatAddress(t.dst)}:${t.dport}`;
  const number = [id >>> 24, (id >>> 16) & 255, (id >>> 8) & 255, id & 255];
  const payload = [...MARK, ...number];
  return Buffer.from(frame().subarray(VNET.length));

  function frame(): Uint8Array {
    if (t.proto === PROTO_TCP) return tcp4(from, to, SYN, payload);
    if (t.proto === PROTO_UDP) return udp4(from, to, payload);
    if (t.proto === PROTO_SCTP) return sctpInit(from, to, t, number);
    const echo = [t.sport >> 8, t.sport & 255, 0, 1, ...payload];
    return icmp4(from, to, ECHO_REQUEST, 0, echo);
  }
}

/** An INIT (RFC 9260 3.3.2) with one stream each way; its CRC lies lowest byte first. */
function sctpInit(from: string, to: string, t: Tuple, tag: number[]): Uint8Array {
  const ports = [t.sport >> 8, t.sport & 255, t.dport >> 8, t.dport & 255];
  const chunk = [SCTP_INIT, 0, 0, 20, ...tag, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1];
  const crc = crc32c([...ports, 0, 0, 0, 0, 0, 0, 0, 0, ...chunk]);
  const sum = [crc & 255, (crc >>> 8) & 255, (crc >>> 16) & 255, crc >>> 24];
  return ip4(from, to, PROTO_SCTP, [...ports, 0, 0, 0, 0, ...sum, ...chunk]);
}

/** A probe's identity in a refusal. */
export function nameOf({ proto, src, sport, dst, dport }: Tuple): string {
  return `${proto} ${src}:${sport} ${dst}:${dport}`;
}

/** Null for other packets. */
export function readArrival(packet: Buffer): Arrival | null {
  const d = decode(Buffer.concat([VNET, packet]));
  const l4 = packet.subarray((packet[0]! & 15) * 4);
  const left: Tuple = {
    proto: d.proto,
    src: parseAddress(d.src)!,
    sport: d.proto === PROTO_ICMP ? l4.readUInt16BE(4) : d.sport,
    dst: parseAddress(d.dst)!,
    dport: d.proto === PROTO_ICMP ? 0 : d.dport,
  };
  if (d.proto === PROTO_ICMP && d.type === UNREACHABLE) return readError(l4.subarray(8));
  if (d.proto === PROTO_TCP && d.flags & RST) {
    const { proto, src, sport, dst, dport } = left;
    return {
      kind: 'refusal',
      of: nameOf({ proto, src: dst, sport: dport, dst: src, dport: sport }),
    };
  }
  if (d.proto === PROTO_ICMP && d.type !== ECHO_REQUEST) return null;
  if (d.proto === PROTO_SCTP) {
    if (l4[12] !== SCTP_INIT) return null;
    const sum = l4.readUInt32LE(8);
    const rest = [...l4.subarray(0, 8), 0, 0, 0, 0, ...l4.subarray(12)];
    const damaged = crc32c(rest) !== sum;
    return { kind: 'probe', id: l4.readUInt32BE(INITIATE_TAG_AT), left, damaged };
  }
  const at = packet.indexOf(Buffer.from(MARK));
  if (at < 0) return null;
  return { kind: 'probe', id: packet.readUInt32BE(at + MARK.length), left, damaged: !d.l4Ok };
}

/** The packet that an ICMP error quotes. */
function readError(quoted: Buffer): Arrival {
  const l4 = quoted.subarray((quoted[0]! & 15) * 4);
  const echo = quoted[9] === PROTO_ICMP;
  const tuple: Tuple = {
    proto: quoted[9]!,
    src: quoted.readInt32BE(12),
    sport: l4.readUInt16BE(echo ? 4 : 0),
    dst: quoted.readInt32BE(16),
    dport: echo ? 0 : l4.readUInt16BE(2),
  };
  return { kind: 'refusal', of: nameOf(tuple) };
}
