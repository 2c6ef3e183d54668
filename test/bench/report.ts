// Figures of a benchmark, in one form for table, JSON and chart.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatTable } from '../../control/cli/output.ts';
import { describeMachine, type Machine } from './machine.ts';

/** One measurement. `values` has its rounds in order. */
export interface Series {
  name: string;
  unit: string;
  values: number[];
}

/** Values of many measurements, collected round by round. */
export class Samples {
  readonly #series = new Map<string, Series>();

  add(name: string, unit: string, value: number): void {
    const one = this.#series.get(name) ?? { name, unit, values: [] };
    this.#series.set(name, one);
    one.values.push(value);
  }

  /** The measurements in this order of names. Leaves out names without values. */
  inOrder(names: string[]): Series[] {
    return names.flatMap((name) => this.#series.get(name) ?? []);
  }
}

export interface Row {
  name: string;
  unit: string;
  median: number;
  min: number;
  max: number;
  /** Name of another row -> median over the rounds of (this row / that row in the same round). */
  ratios: Record<string, number>;
}

export interface Report {
  suite: string;
  machine: Machine;
  rounds: number;
  notes: string[];
  rows: Row[];
}

/** Rows with ratios to the rows in `against`. */
export function buildReport(
  suite: string,
  rounds: number,
  series: Series[],
  against: (name: string) => string[],
  notes: string[],
): Report {
  const byName = new Map(series.map((one) => [one.name, one]));
  const rows = series.map((one): Row => {
    const ratios: Record<string, number> = {};
    for (const other of against(one.name)) {
      const theirs = byName.get(other)?.values;
      if (!theirs || other === one.name) continue;
      ratios[other] = round(
        median(one.values.map((value, i) => value / (theirs[i] ?? Number.NaN))),
      );
    }
    const { name, unit, values } = one;
    const [min, max] = [Math.min(...values), Math.max(...values)];
    return { name, unit, median: round(median(values)), min: round(min), max: round(max), ratios };
  });
  return { suite, machine: describeMachine(), rounds, notes, rows };
}

/** The middle value; of an even count the mean of the two in the middle. */
export function median(values: number[]): number {
  const sorted = values.filter((v) => !Number.isNaN(v)).toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  if (sorted.length === 0) return Number.NaN;
  if (sorted.length % 2 === 1) return sorted[Math.floor(middle)]!;
  return (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function formatReport(report: Report): string {
  const table = formatTable(
    ['NAME', 'UNIT', 'MEDIAN', 'MIN', 'MAX', 'OF OTHERS'],
    report.rows.map((row) => [
      ...[row.name, row.unit, row.median, row.min, row.max].map(String),
      Object.entries(row.ratios)
        .map(([other, ratio]) => `${ratio.toFixed(2)} of ${withoutShared(other, row.name)}`)
        .join(', '),
    ]),
  );
  return [...describeRun(report), '', table].join('\n');
}

/** The machine, its programs and how it was measured: a sentence each. */
export function describeRun({ machine, rounds, notes }: Report): string[] {
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  return [
    `${machine.cpu}, ${machine.cores} cores, kernel ${machine.kernel}`,
    versions.join(', '),
    `${rounds} alternating rounds, medians; ratios are medians of the ratio in each round`,
    ...notes,
  ];
}

/** The part of a row's name that differs from another's. */
function withoutShared(name: string, other: string): string {
  const shared = new Set(other.split(', '));
  const own = name.split(', ').filter((part) => !shared.has(part));
  return own.join(', ') || name;
}

/** Writes `SUITE.json` into a folder and returns its path. */
export function writeReport(report: Report, folder: string): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${report.suite}.json`);
  writeFileSync(path, `${JSON.stringify(report, null, 2)}\n`);
  return path;
}

/** Three significant digits. */
function round(value: number): number {
  return Number(value.toPrecision(3));
}
