// The latency benchmarks run, and their counts add up. Their speed is not tested here.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { kubetun } from '../../support/lab.ts';

interface Row {
  name: string;
  unit: string;
  median: number;
  max: number;
}

/** Minimum time between two images: control/sync/publisher.ts. */
const PUBLISH_MS = 20;
const folder = mkdtempSync(join(tmpdir(), 'kubetun-pace-'));
after(() => rmSync(folder, { recursive: true }));

function bench(suite: string, ...args: string[]): (name: string) => Row {
  const { code, stdout, stderr } = kubetun(
    ...['bench', suite, '--rounds', '1', '--out', folder, '-o', 'json', ...args],
  );
  assert.equal(code, 0, stderr);
  const { rows } = JSON.parse(stdout) as { rows: Row[] };
  return (name) => {
    const row = rows.find((r) => r.name === name);
    assert.ok(row, `there is a row ${name}`);
    return row;
  };
}

function assertNothingLeft(): void {
  const left = readdirSync(tmpdir()).filter((name) => name.startsWith('ktbench-'));
  assert.deepEqual(left, []);
  for (const place of ['pod1', 'node', 'pod2']) {
    assert.ok(!existsSync(`/run/netns/ktbench-${place}`), place);
  }
  assert.ok(!existsSync('/dev/shm/ktbench-arena'));
}

test('bench services sees an endpoint of every Service created at 15 in parallel', (t) => {
  const row = bench('services');
  for (const beside of [0, 10_000]) {
    const state = `beside ${beside} Services, create to first endpoint`;
    const [p50, p99] = [row(`${state}, p50`), row(`${state}, p99`)];
    assert.ok(p50.median > 0 && p50.median <= p99.median);
    t.diagnostic(`${state}: p50 ${p50.median} ms, p99 ${p99.median} ms`);
  }
  assertNothingLeft();
});

test('bench change follows a changed endpoint of 10,000 Services to its first datagram', (t) => {
  const row = bench('change', '--seconds', '1');
  for (const state of ['quiet', '200 others a second']) {
    const answer = row(`${state}, write to first answer, p50`);
    const compile = row(`${state}, stage: compile and publish, p50`);
    assert.ok(answer.median > compile.median, 'the total exceeds one stage');
    const p99 = row(`${state}, write to first answer, p99`).median;
    t.diagnostic(`${state}: write to first answer p50 ${answer.median} ms, p99 ${p99} ms`);
    assert.equal(row(`${state}, unanswered`).max, 0, 'no datagram is lost while endpoints change');
  }
  const publishes = row('burst of 1000, publishes').median;
  const lastMs =
    row('burst of 1000, writes').median + row('burst of 1000, last write to last image').median;
  t.diagnostic(`1,000 changes in ${lastMs} ms cost ${publishes} images`);
  assert.ok(publishes <= lastMs / PUBLISH_MS + 2, 'no two images within PUBLISH_MS');
  assertNothingLeft();
});
