// Sets of IPv4 ranges as few ranges. Pure.

/** `address` and `mask` are int32 in host order, `address & mask === address`. */
interface Range {
  address: number;
  mask: number;
}

/**
 * The same addresses in as few ranges as there can be: neighbours are joined, what lies inside
 * another is left out.
 */
export function joinRanges(ranges: Iterable<Range>): Range[] {
  const joined: Range[] = [];
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

/** Ranges in order, each once, and none that lies inside another. */
export function outerRanges(ranges: Iterable<Range>): Range[] {
  const outer: Range[] = [];
  for (const range of [...ranges].sort(byPlace)) {
    const last = outer.at(-1);
    if (!last || (range.address & last.mask) !== last.address) outer.push(range);
  }
  return outer;
}

/** At most `max` ranges that hold all addresses, and others where there is no room to be exact. */
export function coverRanges(ranges: Iterable<Range>, max: number): Range[] {
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

/** In the order of addresses; a range comes before those inside it. */
function byPlace(a: Range, b: Range): number {
  return (a.address >>> 0) - (b.address >>> 0) || (a.mask >>> 0) - (b.mask >>> 0);
}

/** True for the two halves of one range, in order. */
function areHalves(low: Range, high: Range): boolean {
  if (low.mask !== high.mask || low.mask === 0) return false;
  const whole = low.mask << 1;
  return (low.address & whole) === low.address && (high.address & whole) === low.address;
}
