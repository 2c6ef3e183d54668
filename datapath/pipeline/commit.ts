import { evict } from '../flow/expire.ts';
// biome-ignore format: a list.
import {
  FLAG_DNAT, FLAG_HAIRPIN, FLAG_SNAT, FLAG_TTL_BACK, LINE_SHIFT, LINE_WORDS, META_STATE_SHIFT,
  W_ACK, W_BORN, W_BYTES, W_BYTES_HIGH, W_CHECKED, W_DST, W_META, W_NEW_DST, W_NEW_PORTS, W_NEW_SRC,
  W_PACKETS, W_PORTS, W_RECENT_ACK, W_RECENT_END, W_SEEN, W_SEQ_END, W_SERVICE, W_SRC, W_SUMS,
} from '../flow/line.ts';
import { replyPorts } from '../flow/ports.ts';
import { addSums, deltaOfWord } from '../wire/checksum.ts';
import { PROTO_ICMP, PROTO_TCP } from '../wire/ipv4.ts';
import { TCP_OFF_ACK, TCP_OFF_SEQ } from '../wire/tcp.ts';
import { type Batch, P_DST, P_L4, P_PORTS, P_PROTO, P_SRC } from './batch.ts';
import type { Datapath } from './datapath.ts';
import { MASQUERADE_HAIRPIN } from './decision.ts';
import {
  COUNT_AFFINITY_FULL,
  COUNT_FLOWS_EVICTED,
  COUNT_FLOWS_MADE,
  DROP_TABLE_FULL,
} from './verdict.ts';

/** Makes the flow in `d.decision` for packet `r`: its client side, or minus a DROP_*. */
export function commit(d: Datapath, b: Batch, r: number): number {
  const { table, decision } = d;
  let flow = table.allocate();
  if (flow < 0) {
    if (!evict(table, d.now, d.timeouts)) return -DROP_TABLE_FULL;
    d.count(COUNT_FLOWS_EVICTED);
    flow = table.allocate();
  }
  const proto = b.p[r | P_PROTO]!;
  const src = b.p[r | P_SRC]!;
  const dst = b.p[r | P_DST]!;
  const ports = b.p[r | P_PORTS]!;
  const { newSrc, newDst, newPorts } = decision;
  let flags = decision.masquerade === MASQUERADE_HAIRPIN ? FLAG_HAIRPIN : 0;
  if (newDst !== dst || ((newPorts ^ ports) & 0xffff) !== 0) flags |= FLAG_DNAT;
  if (newSrc !== src || (newPorts ^ ports) >>> 16 !== 0) flags |= FLAG_SNAT;
  const meta = proto | (decision.state << META_STATE_SHIFT) | flags | d.epoch;
  const node = d.services.nodeAddress;
  const { lines } = table;
  const client = flow << (LINE_SHIFT + 1);
  const backend = client + LINE_WORDS;
  const back = replyPorts(newPorts, proto);
  const backNew = replyPorts(ports, proto);
  fill(lines, client, src, dst, ports, newSrc, newDst, newPorts);
  fill(lines, backend, newDst, newSrc, back, dst, src, backNew);
  lines[client | W_SUMS] = sums(lines, client, proto);
  lines[backend | W_SUMS] = sums(lines, backend, proto);
  stamp(d, client);
  stamp(d, backend);
  if (proto === PROTO_TCP) startSequences(b, r, lines, client, backend);
  else lines[client | W_CHECKED] = d.services.generation;
  lines[client | W_META] = meta | ttlBack(src, newDst, node);
  lines[backend | W_META] = meta | ttlBack(newDst, src, node);
  if (!table.link(flow)) {
    lines[client | W_META] = 0;
    lines[backend | W_META] = 0;
    table.release(flow);
    return -DROP_TABLE_FULL;
  }
  d.count(COUNT_FLOWS_MADE);
  if (decision.affinityMs !== 0) keepEndpoint(d, src);
  return flow << 1;
}

/** Session affinity: the client's next connections go to the same endpoint. */
function keepEndpoint(d: Datapath, src: number): void {
  const { service, newDst, newPorts, affinityMs } = d.decision;
  const port = newPorts & 0xffff;
  if (d.affinity.remember(src, service, newDst, port, d.now, affinityMs)) return;
  d.count(COUNT_AFFINITY_FULL);
}

/**
 * TTL to restore. The kernel decrements it before and after the datapath; for the node's own
 * packets, one of these is too many.
 */
function ttlBack(from: number, to: number, node: number): number {
  return from === node && to === node ? 0 : FLAG_TTL_BACK;
}

// biome-ignore lint/complexity/useMaxParams: an object of these would be an allocation per flow.
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
  lines[at | W_SRC] = src;
  lines[at | W_DST] = dst;
  lines[at | W_PORTS] = ports;
  lines[at | W_NEW_SRC] = newSrc;
  lines[at | W_NEW_DST] = newDst;
  lines[at | W_NEW_PORTS] = newPorts;
}

/**
 * Checksum deltas of a line: addresses in the low half, all of the transport checksum in the high
 * half.
 */
function sums(lines: Int32Array, at: number, proto: number): number {
  const addresses = addSums(
    deltaOfWord(lines[at | W_SRC]!, lines[at | W_NEW_SRC]!),
    deltaOfWord(lines[at | W_DST]!, lines[at | W_NEW_DST]!),
  );
  const from = lines[at | W_PORTS]!;
  const to = lines[at | W_NEW_PORTS]!;
  // ICMP's checksum covers no addresses. The packet has only the identifier of the ports word.
  if (proto === PROTO_ICMP) return addresses | (deltaOfWord(from >>> 16, to >>> 16) << 16);
  return addresses | (addSums(addresses, deltaOfWord(from, to)) << 16);
}

function stamp(d: Datapath, at: number): void {
  const { lines } = d.table;
  lines[at | W_SEEN] = d.now;
  lines[at | W_BORN] = d.now;
  lines[at | W_PACKETS] = 0;
  lines[at | W_BYTES] = 0;
  lines[at | W_BYTES_HIGH] = 0;
  lines[at | W_SERVICE] = d.decision.service;
}

/** The peer's side of a connection picked up midway starts at this segment's acknowledgement. */
function startSequences(
  b: Batch,
  r: number,
  lines: Int32Array,
  client: number,
  backend: number,
): void {
  const l4 = b.p[r | P_L4]!;
  const seq = b.view.getInt32(l4 + TCP_OFF_SEQ);
  const ack = b.view.getInt32(l4 + TCP_OFF_ACK);
  lines[client | W_SEQ_END] = seq;
  lines[client | W_ACK] = ack;
  lines[backend | W_SEQ_END] = ack;
  lines[backend | W_ACK] = seq;
  lines[client | W_RECENT_END] = seq;
  lines[backend | W_RECENT_ACK] = ack;
}
