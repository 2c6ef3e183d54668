// The reports of `bench all` as one Markdown file, one web page and the table of the README.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KubetunError } from '../../datapath/error.ts';
import { drawChart, escapeXml } from './chart.ts';
import { type Line, markdownOf, sideBySide, tableOf } from './markdown.ts';
import { describeRun, type Report } from './report.ts';
import { SUITES } from './suites.ts';

const TITLE = 'Benchmarks of kubetun';
const BEGIN = '<!-- bench throughput: begin -->';
const END = '<!-- bench throughput: end -->';
/** The README shows these alone. */
const README_LINES = [
  '1 stream',
  '4 streams',
  '1 stream back',
  'datagrams',
  'datagrams of 64 flows',
  '10 Services, p50',
  '10000 Services, p50',
  '30000 Services, p50',
];

/** Reads the reports in a folder, in the order of the suites. */
export function readReports(folder: string): Report[] {
  return Object.keys(SUITES).flatMap((name) => {
    const path = join(folder, `${name}.json`);
    return existsSync(path) ? [JSON.parse(readFileSync(path, 'utf8')) as Report] : [];
  });
}

/** Writes report.md, report.html and a chart of each report. Returns their paths. */
export function writePages(reports: Report[], folder: string): string[] {
  if (reports.length === 0) {
    throw new KubetunError(
      'KT_BENCH_EMPTY',
      `${folder} has no figures`,
      'measure with bench all, or name the folder of a measurement with --out',
    );
  }
  const files: [name: string, text: string][] = [
    ...reports.map((report): [string, string] => [`${report.suite}.svg`, chartOf(report)]),
    ['report.md', markdownPage(reports)],
    ['report.html', webPage(reports)],
  ];
  return files.map(([name, text]) => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  });
}

function titleOf({ suite }: Report): string {
  return SUITES[suite]?.title ?? suite;
}

function chartOf(report: Report): string {
  return drawChart(report, titleOf(report));
}

function markdownPage(reports: Report[]): string {
  const parts = reports.map((report) =>
    [`## ${titleOf(report)}`, `![${report.suite}](${report.suite}.svg)`, markdownOf(report)].join(
      '\n\n',
    ),
  );
  return `# ${TITLE}\n\n${parts.join('\n\n')}\n`;
}

function webPage(reports: Report[]): string {
  const parts = reports.map((report) => {
    const notes = describeRun(report).map((note) => `<li>${escapeXml(note)}</li>`);
    const rows = report.rows.map(({ name, unit, median, min, max, ratios }) => {
      const others = Object.entries(ratios).map(([other, ratio]) => `${ratio} of ${other}`);
      const cells = [name, unit, median, `${min} to ${max}`, others.join('; ')];
      return `<tr>${cells.map((cell) => `<td>${escapeXml(String(cell))}</td>`).join('')}</tr>`;
    });
    return `<section>
<ul>${notes.join('')}</ul>
${chartOf(report)}
<details><summary>All figures</summary><table>
<tr><th>measured</th><th>unit</th><th>median</th><th>least to most</th><th>ratios, by round</th></tr>
${rows.join('\n')}
</table></details>
</section>`;
  });
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${TITLE}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark }
body { font: 15px system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
section { margin: 3rem 0 } svg { max-width: 100%; height: auto }
table { border-collapse: collapse } td, th { text-align: left; padding: 0.2rem 0.8rem 0.2rem 0 }
</style></head><body>
<h1>${TITLE}</h1>
${parts.join('\n')}
</body></html>
`;
}

/** The README with its table of throughput replaced. Throws if it has no place for one. */
export function withTable(readme: string, throughput: Report): string {
  const [begin, end] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`the README has no ${BEGIN} and ${END}`);
  return `${readme.slice(0, begin + BEGIN.length)}\n${readmeTable(throughput)}\n${readme.slice(end)}`;
}

/** Medians alone: the spread is in the report. */
function readmeTable(throughput: Report): string {
  const { lines } = sideBySide(throughput.rows);
  const shown = README_LINES.flatMap((label) => lines.filter((line) => line.label === label));
  return tableOf(shown.map(named), ['nftables']);
}

function named(line: Line): Line {
  return line.unit === 'us' ? { ...line, label: `connect, ${line.label}` } : line;
}
