// Live packets of a running datapath, from the ring in its arena.
import type { Arena } from '../arena/arena.ts';
import * as L from '../arena/layout.ts';
import { readPolicyGeneration, readPolicyNames } from '../image/policy-reader.ts';
import { readGeneration, readServiceName } from '../image/reader.ts';
import { MASQUERADE_NAMES } from '../pipeline/decision.ts';
import * as T from '../pipeline/trace.ts';
import { causeName, DROP_REASONS, VERDICT_FORWARD, VERDICT_HELD } from '../pipeline/verdict.ts';
import { type Tuple, tupleOf } from './packet.ts';
import { notePolicies, type PolicyNote } from './policies.ts';
import type { MasqueradeReason } from './probe.ts';

/** One packet. */
export interface TraceRecord {
  /** Ms of the worker's clock. */
  now: number;
  verdict: 'forward' | 'reject' | 'drop' | 'held';
  /** As in `explain`: `new`, `flow`, or the counter of a drop, a refusal or an untracked packet. */
  reason: string;
  tuple: Tuple;
  /** The tuple as it left; null unless it was forwarded. */
  left: Tuple | null;
  /** Bytes of the IP packet: up to 64 KiB, because GSO delivers several segments as one. */
  bytes: number;
  tcpFlags: number;
  service: string | null;
  masquerade: MasqueradeReason | null;
  /** NetworkPolicies that allowed a new connection, or that dropped the packet. */
  policies: PolicyNote[];
}

/** How long the datapath writes records after the last request. */
const LOOK_MS = 2000;

/** Makes the datapath write records for the next two seconds. For the owner of the arena. */
export function requestTrace({ header }: Arena): void {
  header[L.H_TRACE_UNTIL] = (header[L.H_NOW]! + LOOK_MS) | 1;
}

export class TraceReader {
  readonly #arena: Arena;
  readonly #look: () => void;
  readonly #names = new Map<number, string | null>();
  #generation = -1;
  #policyNames = new Map<number, string>();
  #policyGeneration = -1;
  #next: number;
  /** Records that were overwritten before they were read. */
  lost = 0;

  /**
   * Starts with the next packet.
   *
   * @param look makes the datapath write records: `requestTrace`, or a request to the agent. Called
   * with every `take`.
   */
  constructor(arena: Arena, look: () => void = () => requestTrace(arena)) {
    this.#arena = arena;
    this.#look = look;
    this.#next = arena.header[L.H_TRACE_WRITTEN]!;
    this.#look();
  }

  /** Records since the last call, oldest first. Call it several times per second. */
  *take(): Generator<TraceRecord> {
    this.#look();
    // The id may belong to another Service by now.
    const generation = readGeneration(this.#arena);
    if (generation !== this.#generation) this.#names.clear();
    this.#generation = generation;
    const { header, trace } = this.#arena;
    const written = Atomics.load(header, L.H_TRACE_WRITTEN);
    const behind = (written - this.#next) | 0;
    const skipped = Math.max(0, behind - L.TRACE_RECORDS);
    this.lost += skipped;
    this.#next = (this.#next + skipped) | 0;
    for (; this.#next !== written; this.#next = (this.#next + 1) | 0) {
      const at = (this.#next & (L.TRACE_RECORDS - 1)) * L.TRACE_WORDS;
      const words = trace.slice(at, at + L.TRACE_WORDS);
      // Overwritten during or before the copy.
      const whole = words[T.T_NUMBER] === this.#next;
      if (whole && Atomics.load(trace, at + T.T_NUMBER) === this.#next) yield this.#read(words);
      else this.lost++;
    }
  }

  #read(w: Int32Array): TraceRecord {
    const proto = w[T.T_PROTO]!;
    const verdict = w[T.T_VERDICT]!;
    const tuple = tupleOf(proto, w[T.T_SRC]!, w[T.T_DST]!, w[T.T_PORTS]!);
    const left = tupleOf(proto, w[T.T_NEW_SRC]!, w[T.T_NEW_DST]!, w[T.T_NEW_PORTS]!);
    return {
      now: w[T.T_NOW]!,
      ...nameVerdict(verdict, w[T.T_FLAGS]!, w[T.T_CAUSE]!),
      tuple,
      left: verdict === VERDICT_FORWARD ? left : null,
      bytes: w[T.T_BYTES]!,
      tcpFlags: w[T.T_FLAGS]! & 0xff,
      service: this.#nameOf(w[T.T_SERVICE]!),
      masquerade: MASQUERADE_NAMES[w[T.T_MASQUERADE]!] ?? null,
      policies: this.#policiesOf(w),
    };
  }

  #policiesOf(w: Int32Array): PolicyNote[] {
    const checked = {
      egress: w[T.T_EGRESS]!,
      egressRule: w[T.T_EGRESS_RULE]!,
      ingress: w[T.T_INGRESS]!,
      ingressRule: w[T.T_INGRESS_RULE]!,
    };
    return notePolicies(this.#arena, checked, (arena) => {
      const generation = readPolicyGeneration(arena);
      if (generation !== this.#policyGeneration) this.#policyNames = readPolicyNames(arena);
      this.#policyGeneration = generation;
      return this.#policyNames;
    });
  }

  #nameOf(service: number): string | null {
    if (!this.#names.has(service)) {
      this.#names.set(service, readServiceName(this.#arena, service));
    }
    return this.#names.get(service)!;
  }
}

function nameVerdict(
  verdict: number,
  flags: number,
  cause: number,
): Pick<TraceRecord, 'verdict' | 'reason'> {
  if (verdict < 0) return { verdict: 'drop', reason: DROP_REASONS[-verdict]?.[0] ?? '' };
  if (verdict === VERDICT_HELD) return { verdict: 'held', reason: 'fragment' };
  const named = causeName(cause);
  if (verdict !== VERDICT_FORWARD) return { verdict: 'reject', reason: named ?? '' };
  const tracked = (flags & T.TRACE_NEW) !== 0 ? 'new' : 'flow';
  if ((flags & T.TRACE_TUPLE) === 0) return { verdict: 'forward', reason: 'related' };
  return { verdict: 'forward', reason: (flags & T.TRACE_FLOW) !== 0 ? tracked : (named ?? '') };
}
