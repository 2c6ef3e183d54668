// How commands print: a table for people, or JSON for scripts.
import { Option } from 'commander';

const GAP = '   ';

export type OutputFormat = 'table' | 'json';

/** `-o, --output`. */
export function outputOption(): Option {
  return new Option('-o, --output <format>', 'output format')
    .choices(['table', 'json'])
    .default('table');
}

/** Rows under headings, in columns as wide as their longest cell, as kubectl prints them. */
export function formatTable(headings: string[], rows: string[][]): string {
  const widths = headings.map((heading, i) =>
    rows.reduce((width, row) => Math.max(width, row[i]?.length ?? 0), heading.length),
  );
  return [headings, ...rows]
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join(GAP)
        .trimEnd(),
    )
    .join('\n');
}

/** Prints data as JSON, or as the table that `table` returns. */
export function print(format: OutputFormat, data: unknown, table: () => string): void {
  console.log(format === 'json' ? JSON.stringify(data, null, 2) : table());
}
