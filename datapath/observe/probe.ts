// Sends one packet through the real pipeline on tables whose changes are discarded.
import type { Arena } from '../arena/arena.ts';
import { H_NOW } from '../arena/layout.ts';
import * as F from '../flow/line.ts';
import { FRONTEND_KINDS } from '../image/image.ts';
import { readServiceName } from '../image/reader.ts';
import { createBatch, P_IP, P_LENGTH, P_VERDICT } from '../pipeline/batch.ts';
import { Datapath } from '../pipeline/datapath.ts';
import { MASQUERADE_NAMES, SELECTED_NAMES } from '../pipeline/decision.ts';
import { revalidateFlow } from '../pipeline/policy-check.ts';
import { run } from '../pipeline/run.ts';
import * as V from '../pipeline/verdict.ts';
import { ICMP_ECHO_REPLY, ICMP_ECHO_REQUEST } from '../wire/icmp.ts';
import { PROTO_ICMP } from '../wire/ipv4.ts';
import { VNET_HEADER_BYTES } from '../wire/vnet.ts';
import { firstPacket, laterPacket, readPacket, type Tuple, tupleOf } from './packet.ts';
import { notePolicies, type PolicyNote } from './policies.ts';

export type MasqueradeReason = NonNullable<(typeof MASQUERADE_NAMES)[number]>;

/** What a node's datapath does with one packet. */
export interface Passage {
  verdict: 'forward' | 'reject' | 'drop';
  /**
   * The counter's name of a drop or a refusal. Of a forwarded packet: `flow` (known already),
   * `service`, `egress`, `direct`, `passed-host`, `passed-untracked`.
   */
  reason: string;
  /** The tuple that leaves; null unless it is forwarded. */
  left: Tuple | null;
  /** `NS/NAME:PORT` of the Service port. */
  service: string | null;
  frontend: (typeof FRONTEND_KINDS)[number] | null;
  /** Eligible endpoints: pairs (address, port). */
  eligible: Int32Array;
  /** A traffic policy left this node's endpoints only. */
  local: boolean;
  chosenBy: 'flow' | (typeof SELECTED_NAMES)[number];
  masquerade: MasqueradeReason | null;
  /** The source port was changed because of another connection. */
  portMoved: boolean;
  /** NetworkPolicies that took part, and the two ends of their check. */
  policies: PolicyNote[];
  checked: { src: number; dst: number };
  /** The destination's own node is the sender, which needs no rule. */
  ownNode: boolean;
}

/** Asks a datapath for its verdict. Writes to the arena, so it must be a private one. */
export class Prober {
  readonly #arena: Arena;
  readonly #datapath: Datapath;
  readonly #batch = createBatch();

  /** @param seed of random choices; any int32 but 0. */
  constructor(arena: Arena, seed: number) {
    this.#arena = arena;
    this.#datapath = new Datapath(arena, seed);
    this.#datapath.useFastPath = false;
    this.#datapath.affinity.frozen = true;
    this.#datapath.refusals.enabled = false;
  }

  /** True if a packet of this tuple belongs to a known flow. */
  knows(tuple: Tuple): boolean {
    return this.#sideOf(tuple, false) !== F.NO_SIDE;
  }

  /** The reply tuple of a flow by its number; null if there is no such flow. */
  replyOf(flow: number): Tuple | null {
    const { lines, table } = this.#datapath;
    if (flow >= table.flowsMax) return null;
    const at = ((flow << 1) | 1) << F.LINE_SHIFT;
    const meta = lines[at | F.W_META]!;
    if (meta === 0) return null;
    const ports = lines[at | F.W_PORTS]!;
    return tupleOf(meta & F.META_PROTO_MASK, lines[at | F.W_SRC]!, lines[at | F.W_DST]!, ports);
  }

  /** @param later a packet from the middle of the connection, not its first. */
  ask(tuple: Tuple, later = false): Passage {
    const { counters } = this.#datapath;
    const moved = counters[V.COUNT_PORT_MOVED];
    const ended = () => counters[V.COUNT_FLOWS_STALE]! + counters[V.COUNT_FLOWS_REOPENED]!;
    const endedBefore = ended();
    const found = this.#sideOf(tuple, later);
    this.#datapath.policyVerdict.reset();
    // A flow with an old check gets a new one, which names the policies.
    if (found !== F.NO_SIDE) revalidateFlow(this.#datapath, found >> 1);
    const verdict = this.#run(later ? laterPacket(tuple) : firstPacket(tuple));
    // A flow that a new connection replaced takes no part.
    const side = ended() === endedBefore ? found : F.NO_SIDE;
    const passage = this.#read(verdict, tuple, side);
    passage.portMoved = counters[V.COUNT_PORT_MOVED] !== moved;
    const made = this.#sideOf(tuple, later);
    if (side === F.NO_SIDE && made !== F.NO_SIDE) this.#datapath.table.remove(made >> 1);
    return passage;
  }

  #run(packet: Uint8Array): number {
    const b = this.#batch;
    b.count = 0;
    b.bytes.set(packet, b.end());
    b.push(packet.length, 0);
    run(this.#datapath, b, this.#arena.header[H_NOW]!);
    return b.p[P_VERDICT]!;
  }

  #read(verdict: number, tuple: Tuple, side: number): Passage {
    const { decision, policyVerdict, services, lines } = this.#datapath;
    const known = side !== F.NO_SIDE;
    const id = known ? lines[(side << F.LINE_SHIFT) | F.W_SERVICE]! : decision.service;
    const passage: Passage = {
      verdict: 'drop',
      reason: V.DROP_REASONS[-verdict]?.[0] ?? '',
      left: null,
      service: readServiceName(this.#arena, id),
      frontend: known ? null : (FRONTEND_KINDS[decision.frontend - 1] ?? null),
      eligible: known
        ? new Int32Array(0)
        : services.words.slice(decision.pairs, decision.pairs + decision.eligible * 2),
      local: !known && decision.local === 1,
      chosenBy: known ? 'flow' : (SELECTED_NAMES[decision.selected] ?? null),
      masquerade: known ? null : (MASQUERADE_NAMES[decision.masquerade] ?? null),
      portMoved: false,
      policies: notePolicies(this.#arena, policyVerdict),
      checked: { src: policyVerdict.src, dst: policyVerdict.dst },
      ownNode: policyVerdict.ownNode === 1,
    };
    if (verdict === V.VERDICT_REPLY) {
      return { ...passage, verdict: 'reject', reason: V.causeName(decision.cause) ?? '' };
    }
    if (verdict !== V.VERDICT_FORWARD) return passage;
    const made = passage.service ? 'service' : passage.masquerade ? 'egress' : 'direct';
    const reason = known ? 'flow' : (V.causeName(decision.cause) ?? made);
    return { ...passage, verdict: 'forward', reason, left: this.#left(tuple) };
  }

  #left(tuple: Tuple): Tuple {
    const b = this.#batch;
    const length = b.p[P_LENGTH]! - VNET_HEADER_BYTES;
    const left = readPacket(new DataView(b.view.buffer, b.p[P_IP]!, length));
    return tuple.proto === PROTO_ICMP ? { ...left, dport: tuple.dport } : left;
  }

  /** An echo has its type in place of the destination port. */
  #sideOf({ proto, src, sport, dst, dport }: Tuple, later: boolean): number {
    const { table } = this.#datapath;
    const low = proto !== PROTO_ICMP ? dport : later ? ICMP_ECHO_REPLY : ICMP_ECHO_REQUEST;
    const ports = (sport << 16) | low;
    return table.find(table.hash(src, dst, ports, proto), src, dst, ports, proto);
  }
}
