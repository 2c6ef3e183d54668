import type { Series } from '../report.ts';

/** Figures of all rounds by name. */
export class Figures {
  readonly series: Series[] = [];
  readonly #lines: string[] = [];

  add(name: string, unit: string, value: number): void {
    const known = this.series.find((one) => one.name === name);
    if (known) known.values.push(value);
    else this.series.push({ name, unit, values: [value] });
    this.#lines.push(`${name}: ${Number(value.toPrecision(3))} ${unit}`);
  }

  /** The number of figures. */
  get count(): number {
    return this.#lines.length;
  }

  /** The figures from the `from`th on, a line each. */
  since(from: number): string[] {
    return this.#lines.slice(from);
  }
}

const SHARES = { p50: 0.5, p99: 0.99, max: 1 };
const ALL_SHARES = ['p50', 'p99', 'max'] as const;

/** Percentiles of times in ms. Empty without times. */
export function addPercentiles(
  figures: Figures,
  name: string,
  times: number[],
  shares: readonly (keyof typeof SHARES)[] = ALL_SHARES,
): void {
  if (times.length === 0) return;
  const sorted = times.toSorted((a, b) => a - b);
  for (const share of shares) {
    const value = sorted[Math.ceil(sorted.length * SHARES[share]) - 1]!;
    figures.add(`${name}, ${share}`, 'ms', value);
  }
}
