// Long work in steps, so that its thread can do other things in between.

/** Work that may pause at each yield; its result comes at the end. */
export type Steps<T> = Generator<void, T, void>;

/** Elements that a loop handles between two yields if each costs well under a microsecond. */
export const STEP_ELEMENTS = 1024;

/** Runs all steps at once. */
export function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** Sorts in place, stable as Array.sort. */
export function* sortInSteps<T>(list: T[], compare: (a: T, b: T) => number): Steps<void> {
  let from: T[] = list;
  let to: T[] = new Array(list.length);
  for (let at = 0; at < from.length; at += STEP_ELEMENTS) {
    const run = from.slice(at, at + STEP_ELEMENTS).sort(compare);
    for (let n = 0; n < run.length; n++) from[at + n] = run[n]!;
    yield;
  }
  for (let size = STEP_ELEMENTS; size < list.length; size *= 2) {
    for (let start = 0; start < list.length; start += size * 2) {
      yield* mergeRuns(from, to, start, size, compare);
    }
    [from, to] = [to, from];
  }
  if (from === list) return;
  for (let at = 0; at < list.length; at++) list[at] = from[at]!;
}

/** Merges the sorted runs `[start, start + size)` and `[start + size, start + 2 * size)`. */
function* mergeRuns<T>(
  from: T[],
  to: T[],
  start: number,
  size: number,
  compare: (a: T, b: T) => number,
): Steps<void> {
  const middle = Math.min(start + size, from.length);
  const end = Math.min(start + size * 2, from.length);
  let [left, right] = [start, middle];
  for (let at = start; at < end; at++) {
    const isLeft = right === end || (left < middle && compare(from[left]!, from[right]!) <= 0);
    to[at] = from[isLeft ? left++ : right++]!;
    if (at % STEP_ELEMENTS === 0) yield;
  }
}
