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
  const rowsOf = (list: typeof COUNTERS, first: number, drop: boolean): CounterRow[] =>
    list.map(([name, help], n) => ({ name, help, drop, value: arena.counters[first + n]! }));
  return [...rowsOf(DROP_REASONS, 0, true).slice(1), ...rowsOf(COUNTERS, COUNTER_BASE, false)];
}
