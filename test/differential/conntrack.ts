// The kernel's connection table as ctnetlink dumps it, in the form of the datapath's own rows.
// Source: linux/netfilter/nfnetlink_conntrack.h.

import { STATE_NAMES } from '../../datapath/flow/state.ts';
import type { FlowRow } from '../../datapath/observe/flows.ts';
import type { TupleRow } from '../../datapath/observe/packet.ts';
import { formatAddress } from '../../datapath/wire/address.ts';

export type FlowState = Pick<FlowRow, 'proto' | 'state' | 'original' | 'reply'> & {
  /** The step of its last renewal. */
  renewed: number;
};

/** s. The kernel's timeout of a flow that step `n` renews. No step lasts half of it. */
const STEP_S = 100;

/** s. The kernel's timeouts during a step. */
export function secondsOf(step: number): number {
  return (step + 2) * STEP_S;
}

const HEADER_BYTES = 16;
const MESSAGE_BYTES = 20;
const CT_NEW = 0x100;
const TYPE_MASK = 0x3fff;
const [ORIGINAL, REPLY, STATUS, PROTOINFO, TIMEOUT] = [1, 2, 3, 4, 7];
const [TUPLE_IP, TUPLE_PROTO] = [1, 2];
const [V4_SRC, V4_DST] = [1, 2];
const [PROTO_NUMBER, SRC_PORT, DST_PORT, ICMP_ID] = [1, 2, 3, 4];
const [INFO_TCP, TCP_STATE] = [1, 1];
const SEEN_REPLY = 2;
const PROTO_NAMES: Record<number, string> = { 1: 'icmp', 6: 'tcp', 17: 'udp' };

type Attributes = Map<number, Buffer>;

/** All entries of a dump. */
export function readConntrack(bytes: Buffer): FlowState[] {
  const flows: FlowState[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    if (bytes.readUInt16LE(at + 4) === CT_NEW) {
      flows.push(readFlow(bytes.subarray(at + MESSAGE_BYTES, at + length)));
    }
    at += (length + 3) & ~3;
  }
  return flows;
}

function attributes(bytes: Buffer): Attributes {
  const found: Attributes = new Map();
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    found.set(bytes.readUInt16LE(at + 2) & TYPE_MASK, bytes.subarray(at + 4, at + length));
    at += (length + 3) & ~3;
  }
  return found;
}

function readFlow(bytes: Buffer): FlowState {
  const all = attributes(bytes);
  const original = readTuple(all.get(ORIGINAL)!);
  const reply = readTuple(all.get(REPLY)!);
  const status = all.get(STATUS)!.readUInt32BE();
  const info = all.get(PROTOINFO);
  const tcp = info && attributes(info).get(INFO_TCP);
  const state = tcp && attributes(tcp).get(TCP_STATE)![0]!;
  const name = PROTO_NAMES[original.proto] ?? String(original.proto);
  return {
    proto: name,
    state: state === undefined ? stateOf(name, status) : STATE_NAMES[state]!,
    original: original.tuple,
    reply: reply.tuple,
    renewed: Math.ceil(all.get(TIMEOUT)!.readUInt32BE() / STEP_S) - 2,
  };
}

function stateOf(proto: string, status: number): string {
  if (proto === 'icmp') return 'ECHO';
  return status & SEEN_REPLY ? 'REPLIED' : 'UNREPLIED';
}

function readTuple(bytes: Buffer): { proto: number; tuple: TupleRow } {
  const all = attributes(bytes);
  const ip = attributes(all.get(TUPLE_IP)!);
  const proto = attributes(all.get(TUPLE_PROTO)!);
  const port = (kind: number) => proto.get(kind)?.readUInt16BE() ?? 0;
  const id = proto.has(ICMP_ID) ? port(ICMP_ID) : null;
  return {
    proto: proto.get(PROTO_NUMBER)![0]!,
    tuple: {
      src: formatAddress(ip.get(V4_SRC)!.readInt32BE()),
      sport: id ?? port(SRC_PORT),
      dst: formatAddress(ip.get(V4_DST)!.readInt32BE()),
      dport: id ?? port(DST_PORT),
    },
  };
}
