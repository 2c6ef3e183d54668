// The flow table for people and scripts, read from the arena of a running or dead agent.

import type { Arena } from '../arena/arena.ts';
import { attachArenaFile } from '../arena/file.ts';
import { H_FLOW_HIGH, H_NOW } from '../arena/layout.ts';
import { remainingMs } from '../flow/expire.ts';
import * as F from '../flow/line.ts';
import { STATE_NAMES } from '../flow/state.ts';
import { FlowTable } from '../flow/table.ts';
import { readGeneration, readServiceName, readServices } from '../image/reader.ts';
import { PROTO_ICMP, protoName } from '../wire/ipv4.ts';
import { readCounters } from './counters.ts';
import { type TupleRow, tupleRow } from './packet.ts';

export interface FlowRow {
  /** The flow's number in the table, for `explain --flow`. */
  id: number;
  proto: string;
  state: string;
  original: TupleRow;
  reply: TupleRow;
  timeoutS: number;
  packets: number;
  bytes: number;
  /** `NS/NAME:PORT`; null if the flow has no Service or the Service is gone. */
  service: string | null;
  /** Some of dnat, snat, assured, unreplied, hairpin. */
  flags: string[];
}

export interface FlowCount {
  flows: number;
  capacity: number;
  byState: Record<string, number>;
  /** Packets dropped since the arena was made, by reason; reasons without drops are absent. */
  drops: Record<string, number>;
}

/** An arena as the command line reads it. */
export type ArenaReader = ReturnType<typeof readArena> & { close(): void };

/** Maps the arena of an agent for reading. Throws KubetunError KT_ARENA_ABSENT. */
export function openArenaReader(path: string): ArenaReader {
  const file = attachArenaFile(path);
  return { ...readArena(file.arena), close: file.close };
}

/** Reads an arena that is mapped already. */
export function readArena(arena: Arena) {
  const table = new FlowTable(arena);
  return {
    flows: () => rows(arena, table),
    count: () => countFlows(arena),
    /** Every state that a flow may have. */
    states: STATE_NAMES as readonly string[],
    /** `NS/NAME:PORT` of every Service port in force. */
    services: () => [...readServices(arena).values()].map(({ name }) => name),
    generation: () => readGeneration(arena),
  };
}

function* rows(arena: Arena, table: FlowTable): Generator<FlowRow> {
  const high = arena.header[H_FLOW_HIGH]!;
  const names = new Map<number, string | null>();
  for (let flow = 0; flow < high; flow++) {
    if (arena.lines[(flow * 2 * F.LINE_WORDS + F.W_META) | 0] === 0) continue;
    yield row(arena, table, flow, names);
  }
}

function row(
  arena: Arena,
  table: FlowTable,
  flow: number,
  names: Map<number, string | null>,
): FlowRow {
  const { lines } = arena;
  const client = flow * 2 * F.LINE_WORDS;
  const backend = client + F.LINE_WORDS;
  const meta = lines[client + F.W_META]!;
  const proto = meta & F.META_PROTO_MASK;
  const service = lines[client + F.W_SERVICE]!;
  if (!names.has(service)) names.set(service, readServiceName(arena, service));
  const left = remainingMs(table, flow, arena.header[H_NOW]!, arena.timeouts);
  return {
    id: flow,
    proto: protoName(proto),
    state: STATE_NAMES[(meta & F.META_STATE_MASK) >> F.META_STATE_SHIFT] ?? 'UNKNOWN',
    original: rowOfLine(lines, client, proto),
    reply: rowOfLine(lines, backend, proto),
    timeoutS: Math.max(0, Math.ceil(left / 1000)),
    packets: (lines[client + F.W_PACKETS]! >>> 0) + (lines[backend + F.W_PACKETS]! >>> 0),
    bytes: bytesOf(lines, client) + bytesOf(lines, backend),
    service: names.get(service) ?? null,
    flags: flagNames(meta),
  };
}

function bytesOf(lines: Int32Array, at: number): number {
  return (lines[at | F.W_BYTES_HIGH]! >>> 0) * 2 ** 32 + (lines[at | F.W_BYTES]! >>> 0);
}

function rowOfLine(lines: Int32Array, at: number, proto: number): TupleRow {
  const ports = lines[at + F.W_PORTS]!;
  const dport = proto === PROTO_ICMP ? ports >>> 16 : ports & 0xffff;
  const [src, dst] = [lines[at + F.W_SRC]!, lines[at + F.W_DST]!];
  return tupleRow({ proto, src, sport: ports >>> 16, dst, dport });
}

function flagNames(meta: number): string[] {
  const names: string[] = [];
  if (meta & F.FLAG_DNAT) names.push('dnat');
  if (meta & F.FLAG_SNAT) names.push('snat');
  if (meta & F.FLAG_ASSURED) names.push('assured');
  if (!(meta & F.FLAG_REPLIED)) names.push('unreplied');
  if (meta & F.FLAG_HAIRPIN) names.push('hairpin');
  return names;
}

function countFlows(arena: Arena): FlowCount {
  const byState: Record<string, number> = {};
  let flows = 0;
  const high = arena.header[H_FLOW_HIGH]!;
  for (let flow = 0; flow < high; flow++) {
    const meta = arena.lines[flow * 2 * F.LINE_WORDS + F.W_META]!;
    if (meta === 0) continue;
    const name = STATE_NAMES[(meta & F.META_STATE_MASK) >> F.META_STATE_SHIFT] ?? 'UNKNOWN';
    byState[name] = (byState[name] ?? 0) + 1;
    flows++;
  }
  const dropped = readCounters(arena).filter(({ drop, value }) => drop && value > 0);
  const drops = Object.fromEntries(dropped.map(({ name, value }) => [name, value]));
  return { flows, capacity: arena.layout.flowsMax, byState, drops };
}
