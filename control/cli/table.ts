const GAP = '   ';

/** Rows under headings in columns as wide as they need to be, as kubectl prints them. */
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

/** Prints data for a person or, as it is, for a script. */
export function print(format: 'table' | 'json', data: unknown, table: () => string): void {
  console.log(format === 'json' ? JSON.stringify(data, null, 2) : table());
}
