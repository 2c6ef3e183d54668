// The reports of `bench all` as pages, and the README's table as one of them.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { sideBySide, tableOf } from '../../bench/markdown.ts';
import { readReports, withTable, writePages } from '../../bench/pages.ts';
import { buildReport, type Report, type Series } from '../../bench/report.ts';

const ROOT = join(import.meta.dirname, '../../..');

function series(name: string, ...values: number[]): Series {
  return { name, unit: 'Gbit/s', values };
}

function report(): Report {
  const against = (name: string) => (name.endsWith('kubetun tun') ? ['1 stream, nftables'] : []);
  const rows = [
    series('1 stream, nftables', 20, 10, 40),
    series('1 stream, kubetun tun', 10, 8, 12),
    series('<other>', 1, 2, 3),
  ];
  return buildReport('throughput', 3, rows, against, ['a note & more']);
}

test('a table has a column of figures for each datapath, with their spread and ratio', () => {
  const { lines, rest } = sideBySide(report().rows);
  assert.deepEqual(
    rest.map(({ name }) => name),
    ['<other>'],
  );
  assert.deepEqual(tableOf(lines).split('\n'), [
    '|  | kubetun tun | nftables | kubetun tun of nftables |',
    '|---|---|---|---|',
    '| 1 stream, Gbit/s | 10 (8 to 12) | 20 (10 to 40) | 0.50 |',
  ]);
});

test('a report becomes a Markdown page, a web page and a chart', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kubetun-pages-'));
  try {
    const written = writePages([report()], folder).map((path) => readFileSync(path, 'utf8'));
    const [chart, markdown, page] = written as [string, string, string];
    assert.match(chart, /^<svg .*<\/svg>\n$/s);
    assert.match(markdown, /## Through one node, pod to pod\n.*\(throughput\.svg\)/s);
    assert.match(markdown, /\| <other> \| Gbit\/s \| 2 \| 1 to 3 \|/);
    assert.match(page, /<svg .*<td>&lt;other&gt;<\/td>/s);
    assert.match(page, /a note &amp; more/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a folder without figures is refused with the command that measures', () => {
  assert.throws(() => writePages(readReports('/nonexistent'), '/nonexistent'), {
    next: /bench all/,
  });
});

test("the README's table of throughput is that of the figures in docs/bench", () => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const throughput = readReports(join(ROOT, 'docs/bench')).find((r) => r.suite === 'throughput');
  assert.equal(withTable(readme, throughput!), readme);
});
