// A run: batches of sequences until all seeds are done. Each difference is checked a second time.
import { onInterrupt } from '../../control/interrupt.ts';
import {
  BATCH_MAX,
  Batch,
  FIRST_BLOCK,
  FIRST_PORT,
  LAST_BLOCK,
  LAST_PORT,
  type Needs,
  needsOf,
} from './batch.ts';
import { classOf } from './decided.ts';
import type { Difference, Sequence } from './entry.ts';
import { Choices } from './random.ts';
import { ROUTES } from './routes.ts';
import { endLabs, FORGOTTEN_MS, Twins } from './twins.ts';
import { makeWalk, type Step } from './walk.ts';

export interface RunOptions {
  /** Prefix of the names of both labs. */
  lab: string;
  seeds: number;
  seed: number;
  route?: string;
  /** Reported examples of each class. */
  show: number;
  /** Including those that do not recur. */
  showChances?: boolean;
  tell: (line: string) => void;
}

export interface Summary {
  sequences: number;
  steps: number;
  /** Packets that arrived on both sides. */
  packets: number;
  seconds: number;
  /** Without accepted ones. */
  differences: number;
  decided: Record<string, { met: number; ended: number }>;
  /** Differences that did not recur when their sequence was sent again, by class. */
  chances: Record<string, number>;
  classes: { name: string; count: number; replay: string }[];
}

/** Enough to send every kind of packet on every route: walk.test.ts asserts it. */
export const SEQUENCES_IN_CI = 4 * BATCH_MAX;
const TELL_EVERY_MS = 5000;
const LINK_DATA_MAX = 1400;
/** Number of repetitions of a sequence with a difference. */
const REPEATS = 2;

/** The sequence of a seed and a route: each route has different walks. */
export function makeSequence(seed: number, routeName?: string): Sequence {
  const route = routeName
    ? ROUTES.find(({ name }) => name === routeName)
    : ROUTES[seed % ROUTES.length];
  if (!route) {
    const names = ROUTES.map(({ name }) => name).join(', ');
    throw new Error(`route ${routeName} is unknown; there are ${names}`);
  }
  const choose = new Choices(Math.imul(seed, 31) + ROUTES.indexOf(route));
  const isInternet = route.client === 'internet' || route.server === 'internet';
  const steps = makeWalk(choose, isInternet);
  return { seed, route, steps: route.name.startsWith('node-own-') ? steps.map(shorten) : steps };
}

/** A raw socket bound to the datapath's device sends at most its MTU. */
function shorten(step: Step): Step {
  if (step.kind !== 'udp' || step.data <= LINK_DATA_MAX) return step;
  return { ...step, data: LINK_DATA_MAX, pieces: undefined };
}

export async function runDifferential(options: RunOptions): Promise<Summary> {
  makeSequence(options.seed, options.route);
  const disarm = onInterrupt(() => endLabs(options.lab));
  const twins = await Twins.start(options.lab);
  try {
    return await new Run(twins, options).all();
  } finally {
    await twins.down();
    disarm();
  }
}

class Run {
  readonly #twins: Twins;
  readonly #options: RunOptions;
  readonly #classes = new Map<string, Difference[]>();
  readonly #decided: Batch['decided'] = {};
  readonly #chances: Record<string, number> = {};
  #next: Needs = { ports: FIRST_PORT, blocks: FIRST_BLOCK };
  #turnedAt = Date.now();
  #steps = 0;
  #packets = 0;

  constructor(twins: Twins, options: RunOptions) {
    this.#twins = twins;
    this.#options = options;
  }

  async all(): Promise<Summary> {
    const { seeds, seed, route, tell } = this.#options;
    const began = Date.now();
    let told = began;
    for (let done = 0; done < seeds; ) {
      const count = Math.min(BATCH_MAX, seeds - done);
      const all = Array.from({ length: count }, (_, i) => makeSequence(seed + done + i, route));
      for (const { steps } of all) this.#steps += steps.length;
      const first = await this.#batch(all);
      for (const difference of await this.#repeat(first)) this.#note(difference);
      done += count;
      if (Date.now() - told < TELL_EVERY_MS && done < seeds) continue;
      told = Date.now();
      tell(
        `${done} of ${seeds} sequences, ${Math.round((done * 1000) / (told - began))}/s, ${this.#count()} differ`,
      );
    }
    return this.#summary((Date.now() - began) / 1000);
  }

  /** A difference that does not recur was chance: a lost packet, or a port chosen twice. */
  async #repeat(differences: Difference[]): Promise<Difference[]> {
    let left = differences;
    for (let i = 0; i < REPEATS && left.length > 0; i++) {
      const again = await this.#batch(left.map(({ sequence }) => sequence));
      const still = new Set(again.map(({ sequence }) => sequence));
      for (const difference of left) {
        if (!still.has(difference.sequence)) this.#noteChance(difference);
      }
      left = again;
    }
    return left;
  }

  #noteChance(difference: Difference): void {
    const name = classOf(difference);
    this.#chances[name] = (this.#chances[name] ?? 0) + 1;
    if (this.#options.showChances) this.#tell(`once: ${name}`, difference);
  }

  async #batch(sequences: Sequence[]): Promise<Difference[]> {
    const { ports, blocks } = needsOf(sequences);
    let first = this.#next;
    if (first.ports + ports > LAST_PORT || first.blocks + blocks > LAST_BLOCK) {
      // They are reused once flows and fragments are forgotten.
      const early = this.#turnedAt + FORGOTTEN_MS - Date.now();
      if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
      this.#turnedAt = Date.now();
      first = { ports: FIRST_PORT, blocks: FIRST_BLOCK };
    }
    this.#next = { ports: first.ports + ports, blocks: first.blocks + blocks };
    const batch = new Batch(this.#twins, sequences, first);
    const differences = await batch.run();
    this.#packets += batch.packets;
    for (const [name, { met, ended }] of Object.entries(batch.decided)) {
      const sum = this.#decided[name] ?? { met: 0, ended: 0 };
      this.#decided[name] = { met: sum.met + met, ended: sum.ended + ended };
    }
    return differences;
  }

  #note(difference: Difference): void {
    const name = classOf(difference);
    const known = this.#classes.get(name) ?? [];
    known.push(difference);
    this.#classes.set(name, known);
    if (known.length <= this.#options.show) this.#tell(name, difference);
  }

  #tell(name: string, { sequence, step, kind, kubetun, kernel }: Difference): void {
    const { tell } = this.#options;
    tell(`\n${name}\n  ${replayOf(sequence)}`);
    for (const [i, sent] of sequence.steps.slice(0, step + 1).entries()) {
      tell(`  ${i} ${JSON.stringify(sent)}`);
    }
    for (const line of kubetun.filter((l) => !kernel.includes(l)))
      tell(`  ${kind} kubetun  ${line}`);
    for (const line of kernel.filter((l) => !kubetun.includes(l)))
      tell(`  ${kind} kernel   ${line}`);
  }

  #count(): number {
    return [...this.#classes.values()].reduce((sum, all) => sum + all.length, 0);
  }

  #summary(seconds: number): Summary {
    const classes = [...this.#classes]
      .map(([name, all]) => ({ name, count: all.length, replay: replayOf(all[0]!.sequence) }))
      .sort((a, b) => b.count - a.count);
    const { seeds: sequences, tell } = this.#options;
    const differences = this.#count();
    tell(
      `\n${sequences} sequences, ${this.#steps} steps in ${seconds.toFixed(0)} s: ${differences} differ`,
    );
    for (const { name, count, replay } of classes)
      tell(`${String(count).padStart(6)} ${name}\n       ${replay}`);
    for (const [name, count] of Object.entries(this.#chances))
      tell(`${String(count).padStart(6)} not when sent again: ${name}`);
    for (const [name, { met, ended }] of Object.entries(this.#decided))
      tell(`${String(met).padStart(6)} decided: ${name}, which ended ${ended} sequences`);
    const { packets, steps } = { packets: this.#packets, steps: this.#steps };
    const [decided, chances] = [this.#decided, this.#chances];
    return { sequences, steps, packets, seconds, differences, decided, chances, classes };
  }
}

function replayOf({ seed, route }: Sequence): string {
  return `npm run differential -- --seeds 1 --seed ${seed} --route ${route.name}`;
}
