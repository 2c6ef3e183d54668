// Sorted pairs of words of an image, such as (address, port), for binary search.

/** The pairs in ascending order of the first word, then of the second, which is not negative. */
export function sortPairs(pairs: Int32Array): Int32Array {
  if (isSorted(pairs)) return pairs;
  // A native sort of 64-bit numbers; the low word comes first in memory.
  const swapped = Int32Array.from(pairs, (_, i) => pairs[i ^ 1]!);
  new BigInt64Array(swapped.buffer).sort();
  return swapped.map((_, i) => swapped[i ^ 1]!);
}

function isSorted(pairs: Int32Array): boolean {
  for (let i = 2; i < pairs.length; i += 2) {
    const isAfter =
      pairs[i]! > pairs[i - 2]! || (pairs[i] === pairs[i - 2] && pairs[i + 1]! >= pairs[i - 1]!);
    if (!isAfter) return false;
  }
  return true;
}

/**
 * Index of the pair (a, b) among `count` sorted ones at `start`, or -1. At most 32 steps; never
 * allocates.
 */
export function findPair(
  words: Int32Array,
  start: number,
  count: number,
  a: number,
  b: number,
): number {
  let low = 0;
  let high = count - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const at = start + middle * 2;
    const first = words[at]!;
    const second = words[at + 1]!;
    if (first === a && second === b) return middle;
    if (first < a || (first === a && second < b)) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

/** True if the address lies in one of `count` sorted disjoint ranges (address, mask) at `start`. */
export function isInRanges(
  words: Int32Array,
  start: number,
  count: number,
  address: number,
): boolean {
  let low = 0;
  let high = count - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const at = start + middle * 2;
    if ((address & words[at + 1]!) === words[at]!) return true;
    if (words[at]! < address) low = middle + 1;
    else high = middle - 1;
  }
  return false;
}
