import type { Arena } from '../arena/arena.ts';
import { COUNTER_BASE, COUNTERS, DROP_REASONS } from '../pipeline/verdict.ts';

export interface CounterRow {
  name: string;
  help: string;
  /** True for a drop reason. */
  drop: boolean;
  value: number;
}

/** Every counter of a datapath by name; drops first. */
export function readCounters(arena: Arena): CounterRow[] {
  const drops = DROP_REASONS.map(([name, help], code) => ({
    name,
    help,
    drop: true,
    value: arena.counters[code]!,
  })).slice(1);
  const others = COUNTERS.map(([name, help], n) => ({
    name,
    help,
    drop: false,
    value: arena.counters[COUNTER_BASE + n]!,
  }));
  return [...drops, ...others];
}
