// `bench all`: suite after suite, every figure kept as soon as it is there.
import type { Report } from './report.ts';
import { writeReport } from './report.ts';
import { type RunOptions, SUITES } from './suites.ts';

/** `throughput` measures what `connect` does. */
const PART_OF_ANOTHER = ['connect'];

export const ALL = Object.keys(SUITES).filter((name) => !PART_OF_ANOTHER.includes(name));

/** Runs suites by name. Each has its own number of rounds, or `rounds` if that is less. */
export async function runAll(
  names: string[],
  { rounds, seconds, out }: Partial<RunOptions> & { seconds: number; out: string },
  progress: (line: string) => void,
): Promise<Report[]> {
  const reports: Report[] = [];
  for (const [i, name] of names.entries()) {
    const suite = SUITES[name]!;
    progress(`${i + 1}/${names.length} ${name}: ${suite.about}`);
    const own = Math.min(suite.rounds, rounds ?? suite.rounds);
    const report = await suite.run({ rounds: own, seconds }, (line) => progress(`  ${line}`));
    writeReport(report, out);
    reports.push(report);
  }
  return reports;
}
