import type { Arena } from '../arena/arena.ts';
import { STATE_ESTABLISHED } from '../flow/state.ts';
import { FlowTable } from '../flow/table.ts';
import { nodeTimeouts, type Timeouts } from '../flow/timeouts.ts';
import type { PolicyMap } from '../policy/policy-map.ts';
import { AffinityTable } from '../services/affinity.ts';
import { ServiceMap } from '../services/service-map.ts';
import { Decision } from './decision.ts';
import { FragmentTable } from './fragments.ts';
import { epochOf } from './policy-check.ts';
import { Judgement } from './policy-verdict.ts';
import { RefusalLimit } from './refusal-limit.ts';
import { forgetEpochs, GENERATIONS_MAX, ROUND_GENERATIONS } from './revalidate.ts';

/**
 * The whole state of one node's datapath. Everything that the pipeline knows is here or in the
 * packet.
 */
export class Datapath {
  readonly arena: Arena;
  readonly header: Int32Array;
  readonly counters: Float64Array;
  readonly table: FlowTable;
  /** The table's lines, one step nearer. */
  readonly lines: Int32Array;
  readonly traceRing: Int32Array;
  readonly services: ServiceMap;
  readonly policy: PolicyMap;
  readonly policyCounters: Float64Array;
  readonly affinity: AffinityTable;
  readonly timeouts: Timeouts;
  readonly fragments: FragmentTable;
  readonly refusals = new RefusalLimit();
  /** What was decided for the last new flow; commit reads it, explain prints it. */
  readonly decision = new Decision();
  /** What policies said of the last flow that was judged. */
  readonly judgement = new Judgement();
  /** What W_META says above its flags of a flow that the policies in force have let pass. */
  epoch = epochOf(0);
  /**
   * Search for what the last image ended: that image, the next flow, and how many are left to look
   * at.
   */
  recheckGeneration = 0;
  recheckAt = 0;
  recheckLeft = 0;
  /**
   * No flow was judged before the first of these policy generations; the search began its present
   * round at the second.
   */
  judgedSince = 0;
  roundSince = 0;
  /**
   * False makes every packet take the ordinary way: for traces, and for tests that hold both
   * against each other.
   */
  useExpress = true;
  /** The clock, ms as a wrapping int32; set once per batch. */
  now = 0;
  #random: number;

  /**
   * Attaches to an arena, whose flows are rescanned. `seed` starts the random numbers; any int32
   * but 0. With null for `timeouts` the arena's stay; a new arena gets a node's.
   */
  constructor(arena: Arena, seed: number, timeouts: Timeouts | null = null) {
    this.arena = arena;
    this.header = arena.header;
    this.counters = arena.counters;
    this.table = new FlowTable(arena);
    this.lines = arena.lines;
    this.traceRing = arena.trace;
    this.services = new ServiceMap(arena);
    this.policy = this.services.policy;
    this.policyCounters = arena.policies;
    this.affinity = new AffinityTable(arena);
    this.fragments = new FragmentTable(this.table.seed);
    this.timeouts = arena.timeouts;
    const isNew = arena.timeouts[STATE_ESTABLISHED] === 0;
    if (timeouts !== null || isNew) arena.timeouts.set(timeouts ?? nodeTimeouts());
    this.#random = seed | 0 || 1;
    this.table.rescan();
    this.services.refresh();
    this.epoch = epochOf(this.policy.generation);
    this.judgedSince = this.policy.generation - ROUND_GENERATIONS;
    this.roundSince = this.policy.generation;
  }

  /** Takes over the newest image; called between batches. */
  refresh(): void {
    if (!this.services.refresh()) return;
    const { generation } = this.policy;
    this.epoch = epochOf(generation);
    if (generation - this.judgedSince >= GENERATIONS_MAX) forgetEpochs(this);
  }

  /** Adds one to a counter or to a drop reason. */
  count(code: number): void {
    this.counters[code] = this.counters[code]! + 1;
  }

  add(code: number, amount: number): void {
    this.counters[code] = this.counters[code]! + amount;
  }

  /** A number from 0 to `below` - 1, uniform to one part in 2^32 / below; xorshift32. */
  random(below: number): number {
    let x = this.#random;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random = x;
    return Math.floor(((x >>> 0) / 4_294_967_296) * below);
  }
}
