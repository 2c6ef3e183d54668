/** Flows in a table, counted in its index, which points at both sides of each. */
export function flowCount({ index }: { index: Int32Array }): number {
  return index.reduce((count, slot) => (slot === 0 ? count : count + 1), 0) / 2;
}
