// What a kernel lets merge.
import { MERGE_TCP, MERGE_UDP } from './merge.ts';

// Linux 7.0 to 7.1.4 damages headers of UDP trains at some devices, if the last datagram is as long
// as the others (introduced by b10b446, fixed by 78effd8 and 5f17ae0). A probe cannot tell, because
// the train may pass another device later. A distribution may have fixed an earlier version.
const DAMAGED_FROM = [7, 0, 0];
const MENDED_FROM = [7, 1, 5];

/**
 * Kinds for a Merger: MERGE_* bits, 0 unless `wanted`.
 *
 * @param hasUso the kernel takes UDP trains from the device (Linux 6.2).
 * @param release as `uname -r` prints it.
 */
export function mergeKinds(wanted: boolean, hasUso: boolean, release: string): number {
  if (!wanted) return 0;
  return hasUso && !damagesTrains(release) ? MERGE_TCP | MERGE_UDP : MERGE_TCP;
}

function damagesTrains(release: string): boolean {
  const [, ...parts] = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(release) ?? [];
  const version = parts.map((part) => Number(part ?? 0));
  return !isBefore(version, DAMAGED_FROM) && isBefore(version, MENDED_FROM);
}

function isBefore(a: number[], b: number[]): boolean {
  const at = b.findIndex((part, n) => (a[n] ?? 0) !== part);
  return at >= 0 && (a[at] ?? 0) < b[at]!;
}
