import { evict } from '../flow/expire.ts';
import * as F from '../flow/line.ts';
import { replyPorts } from '../flow/ports.ts';
import { addSums, deltaOfWord } from '../wire/checksum.ts';
import * as W from '../wire/layout.ts';
import type { Batch } from './batch.ts';
import type { Datapath } from './datapath.ts';
import { MASQUERADE_HAIRPIN } from './decision.ts';
import * as V from './verdict.ts';

/** Makes the flow that `d.decision` describes for packet `i`: its client side, or minus a DROP_*. */
export function commit(d: Datapath, b: Batch, i: number): number {
  const { table, decision } = d;
  let flow = table.allocate();
  if (flow < 0) {
    if (!evict(table, d.now, d.timeouts)) return -V.DROP_TABLE_FULL;
    d.count(V.COUNT_FLOWS_EVICTED);
    flow = table.allocate();
  }
  const proto = b.proto[i]!;
  const src = b.src[i]!;
  const dst = b.dst[i]!;
  const ports = b.ports[i]!;
  const { newSrc, newDst, newPorts } = decision;
  let flags = decision.masquerade === MASQUERADE_HAIRPIN ? F.FLAG_HAIRPIN : 0;
  if (newDst !== dst || ((newPorts ^ ports) & 0xffff) !== 0) flags |= F.FLAG_DNAT;
  if (newSrc !== src || (newPorts ^ ports) >>> 16 !== 0) flags |= F.FLAG_SNAT;
  const meta = proto | (decision.state << F.META_STATE_SHIFT) | flags;
  const node = d.services.nodeAddress;
  const { lines } = table;
  const client = flow << (F.LINE_SHIFT + 1);
  const backend = client + F.LINE_WORDS;
  const back = replyPorts(newPorts, proto);
  const backNew = replyPorts(ports, proto);
  fill(lines, client, src, dst, ports, newSrc, newDst, newPorts);
  fill(lines, backend, newDst, newSrc, back, dst, src, backNew);
  lines[client + F.W_SUMS] = sums(lines, client, proto);
  lines[backend + F.W_SUMS] = sums(lines, backend, proto);
  stamp(d, client);
  stamp(d, backend);
  if (proto === W.PROTO_TCP) startSequences(b, i, lines, client, backend);
  lines[client + F.W_META] = meta | ttlBack(src, newDst, node);
  lines[backend + F.W_META] = meta | ttlBack(newDst, src, node);
  if (!table.link(flow)) {
    lines[client + F.W_META] = 0;
    lines[backend + F.W_META] = 0;
    table.release(flow);
    return -V.DROP_TABLE_FULL;
  }
  d.count(V.COUNT_FLOWS_MADE);
  return flow << 1;
}

/** What arrives by forwarding and is forwarded again crosses the kernel twice: one hop is given back. */
function ttlBack(from: number, to: number, node: number): number {
  return from !== node && to !== node ? F.FLAG_TTL_BACK : 0;
}

function fill(
  lines: Int32Array,
  at: number,
  src: number,
  dst: number,
  ports: number,
  newSrc: number,
  newDst: number,
  newPorts: number,
): void {
  lines[at + F.W_SRC] = src;
  lines[at + F.W_DST] = dst;
  lines[at + F.W_PORTS] = ports;
  lines[at + F.W_NEW_SRC] = newSrc;
  lines[at + F.W_NEW_DST] = newDst;
  lines[at + F.W_NEW_PORTS] = newPorts;
}

/** The deltas of a line: addresses in the low half, all that the transport checksum covers in the high half. */
function sums(lines: Int32Array, at: number, proto: number): number {
  const addresses = addSums(
    deltaOfWord(lines[at + F.W_SRC]!, lines[at + F.W_NEW_SRC]!),
    deltaOfWord(lines[at + F.W_DST]!, lines[at + F.W_NEW_DST]!),
  );
  const from = lines[at + F.W_PORTS]!;
  const to = lines[at + F.W_NEW_PORTS]!;
  // ICMP's checksum covers no addresses, and of the ports word only the identifier is in the packet.
  if (proto === W.PROTO_ICMP) return addresses | (deltaOfWord(from >>> 16, to >>> 16) << 16);
  return addresses | (addSums(addresses, deltaOfWord(from, to)) << 16);
}

function stamp(d: Datapath, at: number): void {
  const { lines } = d.table;
  lines[at + F.W_SEEN] = d.now;
  lines[at + F.W_BORN] = d.now;
  lines[at + F.W_PACKETS] = 0;
  d.table.lines64[(at + F.W_BYTES) >> 1] = 0;
  lines[at + F.W_SERVICE] = d.decision.service;
}

/** For a connection picked up in mid-stream the peer's side starts where this segment acknowledges. */
function startSequences(
  b: Batch,
  i: number,
  lines: Int32Array,
  client: number,
  backend: number,
): void {
  const l4 = b.l4[i]!;
  const seq = b.view.getInt32(l4 + W.TCP_OFF_SEQ);
  const ack = b.view.getInt32(l4 + W.TCP_OFF_ACK);
  lines[client + F.W_SEQ_END] = seq;
  lines[client + F.W_ACK] = ack;
  lines[backend + F.W_SEQ_END] = ack;
  lines[backend + F.W_ACK] = seq;
}
