// Arrivals and tracked flows, as text that must be equal on both sides. Randomly chosen ports get
// names in order of appearance.
import { formatAddress } from '../../datapath/wire/address.ts';
import type { FlowState } from './conntrack.ts';
import { pseudoSum, sum16 } from './craft.ts';

const ICMP_ERRORS = new Set([3, 4, 5, 11, 12]);
const [ICMP, TCP, UDP] = [1, 6, 17];
/** Longer payloads are shown as their checksum. */
const PAYLOAD_SHOWN = 16;

/** Names of one sequence's ports on one side. */
export class PortNames {
  readonly #names = new Map<number, string>();
  #chosen = 0;

  constructor(client: number[], fixed: Iterable<number>) {
    for (const port of fixed) this.#names.set(port, String(port));
    client.forEach((port, i) => {
      this.#names.set(port, `client${i}`);
    });
  }

  copy(): PortNames {
    const copy = new PortNames([], []);
    for (const [port, name] of this.#names) copy.#names.set(port, name);
    copy.#chosen = this.#chosen;
    return copy;
  }

  of(port: number): string {
    const known = this.#names.get(port);
    if (known !== undefined) return known;
    const name = `chosen${this.#chosen++}`;
    this.#names.set(port, name);
    return name;
  }

  /** Ports that translation has chosen. */
  has(port: number): boolean {
    return this.#names.has(port);
  }
}

/** @param isCrafted true if the test sent it, with an identification from the test. */
export function describePacket(packet: Buffer, names: PortNames, isCrafted: boolean): string {
  const header = (packet[0]! & 15) * 4;
  const id = packet.readUInt16BE(4);
  const options = packet.toString('hex', 20, header);
  const isHeaderRight = sum16(packet.subarray(0, header)) === 0xffff;
  const total = packet.readUInt16BE(2);
  return [
    `${formatAddress(packet.readInt32BE(12))}>${formatAddress(packet.readInt32BE(16))}`,
    `ttl=${packet[8]} tos=${packet[1]} len=${total} off=${packet.readUInt16BE(6)}`,
    isCrafted ? `id=${id & 15}` : 'made',
    options && `options=${options}`,
    isHeaderRight ? '' : 'bad-header-sum',
    packet.length === total ? '' : `has=${packet.length}`,
    describeBody(packet, packet.subarray(header, total), names),
  ]
    .filter(Boolean)
    .join(' ');
}

function describeBody(packet: Buffer, l4: Buffer, names: PortNames): string {
  const proto = packet[9]!;
  if (l4.length < 8) return `proto=${proto} ${l4.toString('hex')}`;
  if (proto === ICMP) return describeIcmp(l4, names);
  const ports = `${names.of(l4.readUInt16BE(0))}>${names.of(l4.readUInt16BE(2))}`;
  if (proto === UDP) {
    const sum = l4.readUInt16BE(6) === 0 ? 'no-sum' : sumOf(packet, l4, 6);
    return `udp ${ports} length=${l4.readUInt16BE(4)} ${sum} ${payload(l4.subarray(8))}`;
  }
  if (proto !== TCP || l4.length < 20) return `proto=${proto} ${ports} ${l4.toString('hex', 4)}`;
  const seq = `seq=${l4.readUInt32BE(4)} ack=${l4.readUInt32BE(8)}`;
  const rest = `flags=${l4[13]} window=${l4.readUInt16BE(14)} offset=${l4[12]! >> 4}`;
  return `tcp ${ports} ${seq} ${rest} ${sumOf(packet, l4, 16)} ${payload(l4.subarray(20))}`;
}

function payload(bytes: Buffer): string {
  if (bytes.length <= PAYLOAD_SHOWN) return bytes.toString('hex');
  return `${bytes.length} bytes, sum ${sum16(bytes)}`;
}

/** A partial checksum counts as correct. */
function sumOf(packet: Buffer, l4: Buffer, at: number): string {
  const pseudo = pseudoSum(packet, l4.length);
  if (sum16(l4, pseudo) === 0xffff) return '';
  return l4.readUInt16BE(at) === pseudo ? '' : 'bad-sum';
}

function describeIcmp(l4: Buffer, names: PortNames): string {
  const type = l4[0]!;
  const sum = sum16(l4) === 0xffff ? '' : 'bad-sum';
  if (!ICMP_ERRORS.has(type)) {
    if (type > 18 || type === 9) return `icmp ${type}/${l4[1]} ${sum} ${l4.length} bytes`;
    return `icmp ${type}/${l4[1]} id=${names.of(l4.readUInt16BE(4))} ${sum} ${payload(l4.subarray(6))}`;
  }
  const quoted = l4.subarray(8);
  const word = l4.readUInt32BE(4);
  return `icmp ${type}/${l4[1]} word=${word} ${sum} quote[${describeQuote(quoted, names)}]`;
}

/** No receiver uses checksums and lengths of a quote. Only the quoted tuple counts. */
function describeQuote(quoted: Buffer, names: PortNames): string {
  if (quoted.length < 28) return quoted.toString('hex');
  const header = (quoted[0]! & 15) * 4;
  const l4 = quoted.subarray(header);
  const proto = quoted[9]!;
  const addresses = `${formatAddress(quoted.readInt32BE(12))}>${formatAddress(quoted.readInt32BE(16))}`;
  if (l4.length < 8) return `${addresses} proto=${proto}`;
  const isHeaderRight = sum16(quoted.subarray(0, header)) === 0xffff;
  const ports =
    proto === ICMP
      ? `icmp ${l4[0]}/${l4[1]} id=${names.of(l4.readUInt16BE(4))}`
      : `${names.of(l4.readUInt16BE(0))}>${names.of(l4.readUInt16BE(2))}`;
  const ttl = quoted[8];
  const sum = isHeaderRight ? '' : ' bad-header-sum';
  return `${addresses} proto=${proto} ttl=${ttl} id=${quoted.readUInt16BE(4) & 15} ${ports}${sum}`;
}

export function describeFlow(node: string, flow: FlowState, names: PortNames): string {
  const { original: o, reply: r } = flow;
  const state = flow.state === 'STREAM' ? 'REPLIED' : flow.state;
  const from = `${o.src}:${names.of(o.sport)}>${o.dst}:${names.of(o.dport)}`;
  const back = `${r.src}:${names.of(r.sport)}>${r.dst}:${names.of(r.dport)}`;
  return `${node} ${flow.proto} ${from} reply ${back} renewed=${flow.renewed} ${state}`;
}

/** The packet that an ICMP error quotes. Null for other packets. */
export function quotedOf(packet: Buffer): Buffer | null {
  if (packet[9] !== ICMP) return null;
  const at = (packet[0]! & 15) * 4;
  if (packet.length < at + 8 + 28 || !ICMP_ERRORS.has(packet[at]!)) return null;
  return packet.subarray(at + 8);
}
