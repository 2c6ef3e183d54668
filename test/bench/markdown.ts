// Reports as Markdown: figures of several datapaths side by side, the others in a list.
import { describeRun, type Report, type Row } from './report.ts';

/** Datapaths in the order of their columns. Other rows have no columns. */
export const DATAPATHS = [
  'kubetun tun',
  'kubetun veth',
  'kernel forward',
  'iptables',
  'nftables',
  'haproxy tcp',
  'socat tcp',
];
/** kubetun's part of these has a column. */
const COMPARED = ['nftables', 'iptables', 'haproxy tcp'];

const OWN = /^kubetun/;

/** One figure of several datapaths. */
export interface Line {
  /** The row's name without the datapath. */
  label: string;
  unit: string;
  cells: Map<string, Row>;
}

/** Lines of the rows that name a datapath, and the rows that do not. */
export function sideBySide(rows: Row[]): { lines: Line[]; rest: Row[] } {
  const lines = new Map<string, Line>();
  const rest: Row[] = [];
  for (const row of rows) {
    const parts = row.name.split(', ');
    const datapath = DATAPATHS.find((name) => parts.includes(name));
    if (datapath === undefined) {
      rest.push(row);
      continue;
    }
    const label = parts.filter((part) => part !== datapath).join(', ');
    const line = lines.get(label) ?? { label, unit: row.unit, cells: new Map<string, Row>() };
    lines.set(label, line);
    line.cells.set(datapath, row);
  }
  return { lines: [...lines.values()], rest };
}

/** A table of lines. Each cell is a median with the least and the most of its rounds. */
export function tableOf(lines: Line[], against = COMPARED): string {
  const has = (datapath: string) => lines.some(({ cells }) => cells.has(datapath));
  const columns = DATAPATHS.filter(has);
  const ratios = columns
    .filter((datapath) => OWN.test(datapath))
    .flatMap((own) => against.filter(has).map((other): [string, string] => [own, other]));
  return markdownTable(
    ['', ...columns, ...ratios.map(([own, other]) => `${own} of ${other}`)],
    lines.map((line) => [
      `${line.label}, ${line.unit}`,
      ...columns.map((datapath) => spread(line.cells.get(datapath))),
      ...ratios.map(([own, other]) => ratioTo(line, own, other)),
    ]),
  );
}

/** The part of a report below its title. */
export function markdownOf(report: Report): string {
  const { lines, rest } = sideBySide(report.rows);
  const list = markdownTable(
    ['', 'unit', 'median', 'least to most', 'ratio'],
    rest.map((row) => [
      row.name,
      row.unit,
      String(row.median),
      `${row.min} to ${row.max}`,
      Object.entries(row.ratios)
        .map(([other, ratio]) => `${ratio.toFixed(2)} of ${other}`)
        .join('; '),
    ]),
  );
  return [
    ...describeRun(report).map((note) => `- ${note}`),
    ...(lines.length > 0 ? ['', tableOf(lines)] : []),
    ...(rest.length > 0 ? ['', list] : []),
  ].join('\n');
}

function spread(row: Row | undefined): string {
  return row ? `${row.median} (${row.min} to ${row.max})` : '-';
}

function ratioTo({ cells }: Line, own: string, other: string): string {
  const ratios = Object.entries(cells.get(own)?.ratios ?? {});
  const found = ratios.find(([name]) => name.split(', ').includes(other));
  return found ? found[1].toFixed(2) : '-';
}

function markdownTable(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}
