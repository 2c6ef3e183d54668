// A bar chart as SVG, readable on a light and on a dark background.
import type { Report, Row } from './report.ts';

const BAR = 18;
const GAP = 6;
const LABEL_WIDTH = 250;
const PLOT_WIDTH = 380;
const VALUE_WIDTH = 110;
const HEAD = 34;
const OWN = /^(?!.*, in C$).*(kubetun|established|new flow)/;

/** Groups of rows with one unit each, drawn below each other. Every group has its own scale. */
export function drawChart(report: Report, title: string): string {
  const groups = Map.groupBy(report.rows, (row) => groupOf(row));
  const parts: string[] = [];
  let y = HEAD;
  for (const [name, rows] of groups) {
    parts.push(`<text x="0" y="${y + 14}" class="group">${escapeXml(name)}</text>`);
    y += 24;
    const most = Math.max(...rows.map((row) => row.max));
    for (const row of rows) {
      parts.push(...drawBar(row, y, most));
      y += BAR + GAP;
    }
    y += 12;
  }
  const width = LABEL_WIDTH + PLOT_WIDTH + VALUE_WIDTH;
  const { cpu, cores, kernel } = report.machine;
  const about = `${cpu}, ${cores} cores, Linux ${kernel}; medians of ${report.rounds} rounds, whiskers: least and most`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y + 18}" font-family="system-ui, sans-serif" font-size="13">
<style>
text { fill: #1f2328 } .group { font-weight: 600 } .small { font-size: 11px; fill: #59636e }
.own { fill: #1a7f37 } .other { fill: #8c959f } line { stroke: #59636e }
@media (prefers-color-scheme: dark) { text { fill: #f0f6fc } .small { fill: #9198a1 } .own { fill: #3fb950 } .other { fill: #656c76 } line { stroke: #9198a1 } }
</style>
<text x="0" y="16" font-size="15" font-weight="600">${escapeXml(title)}</text>
${parts.join('\n')}
<text x="0" y="${y + 10}" class="small">${escapeXml(about)}</text>
</svg>
`;
}

function drawBar(row: Row, y: number, most: number): string[] {
  const scale = (value: number) => Math.max(1, (value / (most || 1)) * PLOT_WIDTH);
  const x = LABEL_WIDTH;
  const middle = y + BAR / 2;
  const kind = OWN.test(row.name) ? 'own' : 'other';
  return [
    `<text x="${x - 8}" y="${y + 13}" text-anchor="end">${escapeXml(labelOf(row))}</text>`,
    `<rect x="${x}" y="${y}" width="${scale(row.median).toFixed(1)}" height="${BAR}" rx="2" class="${kind}"/>`,
    `<line x1="${(x + scale(row.min)).toFixed(1)}" x2="${(x + scale(row.max)).toFixed(1)}" y1="${middle}" y2="${middle}"/>`,
    `<text x="${(x + scale(row.max) + 6).toFixed(1)}" y="${y + 13}">${row.median} ${escapeXml(row.unit)}</text>`,
  ];
}

/** Rows of one kind share a scale. The kind is the measurement without the datapath's name. */
function groupOf({ name, unit }: Row): string {
  const parts = name.split(', ');
  if (unit === 'us') return `connect, ${parts.at(-1)}`;
  return unit === 'ns/packet' ? unit : parts[0]!;
}

function labelOf({ name, unit }: Row): string {
  const parts = name.split(', ');
  if (unit === 'us') return parts.slice(0, -1).join(', ');
  return unit === 'ns/packet' ? name : parts.slice(1).join(', ');
}

/** Text as the content of an XML or HTML element. */
export function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
