import type { Arena } from '../arena/arena.ts';
import { H_FLOW_HIGH } from '../arena/layout.ts';
import { EPOCH_SHIFT, EPOCHS, epochOf, LINE_WORDS, W_META } from '../flow/line.ts';
import { STATE_ESTABLISHED } from '../flow/state.ts';
import { FlowTable } from '../flow/table.ts';
import { nodeTimeouts, type Timeouts } from '../flow/timeouts.ts';
import { RefusalLimit } from '../limit.ts';
import type { PolicyMap } from '../policy/policy-map.ts';
import { AffinityTable } from '../services/affinity.ts';
import { ServiceMap } from '../services/service-map.ts';
import { Decision, PolicyVerdict } from './decision.ts';
import { FragmentTable } from './fragments.ts';
import { PortMap } from './ports.ts';

/** The most policy generations before every flow must have been revalidated. */
const GENERATIONS_MAX = EPOCHS - 1;
/** A round takes fewer generations than this at 50 policy changes a second. */
const ROUND_GENERATIONS = 400;
const BELOW_EPOCH = (1 << EPOCH_SHIFT) - 1;

/** The state of one node's datapath. The pipeline depends on this and the packet only. */
export class Datapath {
  readonly arena: Arena;
  readonly header: Int32Array;
  readonly counters: Float64Array;
  readonly table: FlowTable;
  /** `table.lines`: one load less per packet. */
  readonly lines: Int32Array;
  /**
   * `lines` for the fast path. V8 needs four instructions for an access by a DataView, and seven by
   * a typed array, whose base it adds up each time.
   */
  readonly lineView: DataView;
  readonly traceRing: Int32Array;
  readonly services: ServiceMap;
  readonly policy: PolicyMap;
  readonly policyCounters: Float64Array;
  readonly affinity: AffinityTable;
  readonly timeouts: Timeouts;
  readonly fragments: FragmentTable;
  readonly ports: PortMap;
  readonly refusals = new RefusalLimit();
  /** What was decided for the last new flow; commit reads it, explain prints it. */
  readonly decision = new Decision();
  /** What the last policy check found. */
  readonly policyVerdict = new PolicyVerdict();
  /** W_META bits above the flags, for a flow that passed the check of the policies in force. */
  epoch = epochOf(0);
  /** Revalidation after an image: its generation, the next flow, and how many flows are left. */
  revalidateGeneration = 0;
  revalidateAt = 0;
  revalidateLeft = 0;
  /**
   * `checkedSince`: no flow was last checked at an older policy generation. `roundSince`: the
   * policy generation at which the present round of revalidation began.
   */
  checkedSince = 0;
  roundSince = 0;
  /** False makes every packet take all stages: for traces, and for tests that compare both ways. */
  useFastPath = true;
  /** The clock, ms as a wrapping int32; set once per batch. */
  now = 0;
  #random: number;

  /**
   * Attaches to an arena and scans its flows again. `seed` starts the random numbers; any int32 but
   * 0. Null `timeouts` keeps the arena's; a new arena gets the defaults of a node.
   */
  constructor(arena: Arena, seed: number, timeouts: Timeouts | null = null) {
    this.arena = arena;
    this.header = arena.header;
    this.counters = arena.counters;
    this.table = new FlowTable(arena);
    this.lines = arena.lines;
    const { buffer, byteOffset, byteLength } = arena.lines;
    this.lineView = new DataView(buffer, byteOffset, byteLength);
    this.traceRing = arena.trace;
    this.services = new ServiceMap(arena);
    this.policy = this.services.policy;
    this.policyCounters = arena.policies;
    this.affinity = new AffinityTable(arena);
    this.fragments = new FragmentTable(this.table.seed);
    this.ports = new PortMap(this.table.seed);
    this.timeouts = arena.timeouts;
    const isNew = arena.timeouts[STATE_ESTABLISHED] === 0;
    if (timeouts !== null || isNew) arena.timeouts.set(timeouts ?? nodeTimeouts());
    this.#random = seed | 0 || 1;
    this.table.rescan();
    this.services.refresh();
    this.epoch = epochOf(this.policy.generation);
    this.checkedSince = this.policy.generation - ROUND_GENERATIONS;
    this.roundSince = this.policy.generation;
  }

  /** Switches to the newest image; called between batches. */
  refresh(): void {
    if (!this.services.refresh()) return;
    const { generation } = this.policy;
    this.epoch = epochOf(generation);
    if (generation - this.checkedSince >= GENERATIONS_MAX) this.#forgetEpochs();
  }

  /** Clears the epoch of every flow, because it may soon stand for another generation. */
  #forgetEpochs(): void {
    const sides = this.header[H_FLOW_HIGH]! * 2;
    for (let side = 0; side < sides; side++) {
      const at = side * LINE_WORDS + W_META;
      this.lines[at] = this.lines[at]! & BELOW_EPOCH;
    }
    this.checkedSince = this.policy.generation;
    this.roundSince = this.policy.generation;
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
