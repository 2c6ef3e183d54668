// The benchmarks run and print their fields. No speed is asserted.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { assertGone, kubetun, kubetunWith } from '../support/lab.ts';

interface Row {
  name: string;
  unit: string;
  median: number;
  min: number;
  max: number;
  ratios: Record<string, number>;
}
interface Report {
  machine: { cores: number; kernel: string; versions: Record<string, string> };
  rounds: number;
  rows: Row[];
}

const folder = mkdtempSync(join(tmpdir(), 'kubetun-bench-'));
after(() => rmSync(folder, { recursive: true }));

function reportOf(suite: string): Report {
  return JSON.parse(readFileSync(join(folder, `${suite}.json`), 'utf8')) as Report;
}

function bench(suite: string, ...args: string[]): Report {
  const files = ['--out', folder, '--chart', join(folder, `${suite}.svg`)];
  const { code, stdout, stderr } = kubetunWith(
    { KUBETUN_BENCH_SLICES: '4' },
    'bench',
    suite,
    '--rounds',
    '1',
    ...files,
    ...args,
    '-o',
    'json',
  );
  assert.equal(code, 0, stderr);
  const report = JSON.parse(stdout) as Report;
  assert.deepEqual(reportOf(suite), report);
  assert.match(readFileSync(join(folder, `${suite}.svg`), 'utf8'), /^<svg .*<\/svg>\n$/s);
  assert.equal(report.rounds, 1);
  assert.ok(report.machine.cores > 0 && report.machine.versions.node);
  for (const row of report.rows) {
    assert.ok(row.min > 0 && row.min <= row.median && row.median <= row.max, row.name);
  }
  return report;
}

const hasCompiler = () =>
  ['cc', 'gcc', 'clang'].some((name) => spawnSync(name, ['--version']).status === 0);

test('bench core measures established and new connections, without policies and with them', () => {
  const { rows } = bench('core');
  const names = rows.map((row) => row.name);
  for (const flows of ['1k', '100k', '1M'])
    assert.ok(names.includes(`established, ${flows} flows`));
  assert.ok(names.includes('new flow, 1M flows'));
  // A machine without a compiler has no such row.
  const inC = rows.find(({ name }) => name === 'established, 1k flows, in C');
  if (hasCompiler()) assert.ok(inC!.ratios['established, 1k flows']! > 0);
  else assert.equal(inC, undefined);
  for (const name of ['established, 1k flows', 'new flow, 1k flows']) {
    const row = rows.find((each) => each.name === `${name}, 500 policies`);
    assert.ok(row!.ratios[name]! > 0);
  }
});

test('bench scale measures many Services, and a node in a cluster of 1,000', () => {
  const { rows } = bench('scale');
  const names = rows.map((row) => row.name);
  for (const what of ['compile everything', 'publish everything', 'image', 'heap of the agent']) {
    assert.ok(names.includes(`${what}, 30000 Services of 10`), what);
  }
  for (const what of ["a pod's other labels", "a namespace's labels", 'a new policy']) {
    assert.ok(names.includes(`${what}, 1000 pods, 500 policies`), what);
  }
  for (const steering of ['', ' with narrow steering']) {
    const name = `rules of a node${steering}, a cluster of`;
    const row = rows.find((each) => each.name === `${name} 1000 nodes`);
    assert.equal(row!.ratios[`${name} 2 nodes`], 1, name);
  }
  const flow = rows.find((row) => row.name === 'a new flow, a cluster of 1000 nodes');
  assert.ok(flow!.ratios['a new flow, a cluster of 2 nodes']! > 0);
});

test('a folder without write permission is refused before any measurement', () => {
  const { code, stderr } = kubetun('bench', 'core', '--out', '/etc/hostname/x');
  assert.match(stderr, /^kubetun: .*hostname.*: name a folder that can be written/);
  assert.equal(code, 1);
});

test('bench all measures every datapath in the same namespaces, then labs, and leaves nothing', () => {
  const args = ['bench', 'all', 'throughput', 'pods', 'across', '--rounds', '1'];
  const { code, stdout, stderr } = kubetun(...args, '--out', folder);
  assert.equal(code, 0, stderr);
  const written = ['throughput.svg', 'pods.svg', 'across.svg', 'report.md', 'report.html'];
  assert.deepEqual(
    stdout.trim().split('\n'),
    written.map((name) => join(folder, name)),
  );
  const { rows } = reportOf('throughput');
  for (const twin of [
    'kernel forward',
    'iptables',
    'nftables',
    'haproxy tcp',
    'kubetun veth',
    'kubetun tun',
  ]) {
    const row = rows.find((r) => r.name === `1 stream, ${twin}`);
    assert.equal(row?.unit, 'Gbit/s', twin);
    assert.ok(
      rows.some((r) => r.name === `CPU of 1 stream, ${twin}` && r.min > 0),
      twin,
    );
  }
  for (const own of ['kubetun veth', 'kubetun tun']) {
    const bulk = rows.find((row) => row.name === `1 stream, ${own}`);
    assert.ok(bulk?.ratios['1 stream, iptables'] && bulk.ratios['1 stream, haproxy tcp']);
    const connect = rows.find((row) => row.name === `${own}, 10000 Services, p50`);
    assert.ok(connect?.ratios[`${own}, 10 Services, p50`]);
  }
  const pods = reportOf('pods').rows;
  for (const figure of ['1 stream', 'CPU of 1 stream', 'datagrams', 'connect']) {
    const row = pods.find((r) => r.name === `${figure}, 200 pods, kubetun tun`);
    assert.ok(row!.ratios[`${figure}, 2 pods, kubetun tun`]! > 0, figure);
    assert.ok(row!.ratios[`${figure}, 200 pods, nftables`]! > 0, figure);
  }
  for (const way of ['pod to pod', 'internet to pod']) {
    for (const figure of ['1 stream', 'datagrams of 64 flows', 'connect']) {
      const row = reportOf('across').rows.find((r) => r.name === `${figure}, ${way}, kubetun tun`);
      assert.ok(row!.ratios[`${figure}, ${way}, nftables`]! > 0, `${figure}, ${way}`);
    }
  }
  for (const place of ['pod1', 'pod2', 'pod3', 'pod4', 'silent', 'node']) {
    assert.ok(!existsSync(`/run/netns/ktbench-${place}`), place);
  }
  assert.ok(!existsSync('/dev/shm/ktbench-arena'));
  for (const lab of ['ktb-tun', 'ktb-veth', 'ktb-nft']) assertGone(lab);
});
