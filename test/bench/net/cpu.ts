// CPU time of the whole machine, the kernel's part included.
import { readFileSync } from 'node:fs';

/** /proc/stat counts in USER_HZ, which is 100 on every Linux. */
const TICKS_PER_SECOND = 100;
/** Columns of the first line that mean work: user, nice, system, irq, softirq. */
const WORK = [1, 2, 3, 6, 7];

/** Seconds of work of all CPUs since boot (proc(5), /proc/stat). */
export function cpuSeconds(): number {
  const columns = readFileSync('/proc/stat', 'utf8').split('\n')[0]!.split(/\s+/);
  return WORK.reduce((sum, column) => sum + Number(columns[column]), 0) / TICKS_PER_SECOND;
}
