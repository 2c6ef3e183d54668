// The known name that a typing mistake is nearest to.

/** More differences than this are another name, not a typing mistake. */
const EDITS_MAX = 2;

/** The name with the fewest edits; null if all differ by more than a typing mistake. */
export function closest(name: string, known: string[]): string | null {
  const limit = Math.min(EDITS_MAX, Math.floor(name.length / 2));
  const near = known
    .map((each) => ({ each, edits: editsOf(name, each) }))
    .filter(({ edits }) => edits <= limit)
    .sort((a, b) => a.edits - b.edits);
  return near[0]?.each ?? null;
}

/** Levenshtein's distance, where two letters in the wrong order are one edit. */
function editsOf(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, i) => i)];
  for (let i = 1; i <= a.length; i++) {
    const [before, row] = [rows[i - 1]!, [i]];
    for (let j = 1; j <= b.length; j++) {
      const change = before[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = isSwap ? rows[i - 2]![j - 2]! + 1 : change;
      row.push(Math.min(change, swap, before[j]! + 1, row[j - 1]! + 1));
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
