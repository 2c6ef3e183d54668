// Reduces sets of IPv4 ranges. Pure.

import type { Range4 } from './address.ts';

/** The same addresses in the fewest ranges: neighbours joined, nested ones removed. */
export function joinRanges(ranges: Iterable<Range4>): Range4[] {
  const joined: Range4[] = [];
  for (const range of [...ranges].sort(byPlace)) {
    const last = joined.at(-1);
    if (last && (range.address & last.mask) === last.address) continue;
    let next = range;
    for (let other = joined.at(-1); other && areHalves(other, next); other = joined.at(-1)) {
      joined.pop();
      next = { address: other.address, mask: other.mask << 1 };
    }
    joined.push(next);
  }
  return joined;
}

/** Sorted distinct ranges; none lies inside another. */
export function outerRanges(ranges: Iterable<Range4>): Range4[] {
  const outer: Range4[] = [];
  for (const range of [...ranges].sort(byPlace)) {
    const last = outer.at(-1);
    if (!last || (range.address & last.mask) !== last.address) outer.push(range);
  }
  return outer;
}

/** Ranges from pairs of words (address, mask). */
export function rangesOfPairs(pairs: Int32Array): Range4[] {
  return Array.from({ length: pairs.length >> 1 }, (_, i) => {
    return { address: pairs[i * 2]!, mask: pairs[i * 2 + 1]! };
  });
}

/** Pairs of words (address, mask). */
export function pairsOfRanges(ranges: Range4[]): Int32Array {
  return Int32Array.from(ranges.flatMap(({ address, mask }) => [address, mask]));
}

/** At most `max` ranges that cover all addresses; they cover more if an exact set is larger. */
export function coverRanges(ranges: Iterable<Range4>, max: number): Range4[] {
  let cover = joinRanges(ranges);
  while (cover.length > max) {
    const narrowest = Math.max(...cover.map(({ mask }) => mask >>> 0)) | 0;
    cover = joinRanges(
      cover.map((range) => {
        if (range.mask !== narrowest) return range;
        const mask = narrowest << 1;
        return { address: range.address & mask, mask };
      }),
    );
  }
  return cover;
}

/** Orders by address; a range comes before those inside it. */
function byPlace(a: Range4, b: Range4): number {
  return (a.address >>> 0) - (b.address >>> 0) || (a.mask >>> 0) - (b.mask >>> 0);
}

/** True for the two halves of one range, in order. */
function areHalves(low: Range4, high: Range4): boolean {
  if (low.mask !== high.mask || low.mask === 0) return false;
  const whole = low.mask << 1;
  return (low.address & whole) === low.address && (high.address & whole) === low.address;
}
