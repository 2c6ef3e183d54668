import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Logger } from 'pino';
import type { KubeClient } from '../../../../../control/kube/client.ts';
import { KubeStatusError } from '../../../../../control/kube/error.ts';
import type { Pod } from '../../../../../control/kube/kinds.ts';
import { StatusReporter } from '../../../../../lab/pods/status/reporter.ts';
import { TestClock } from '../../../../support/clock.ts';

const POD = { metadata: { namespace: 'shop', name: 'web', uid: 'u-1' } } as unknown as Pod;

function world() {
  const clock = new TestClock();
  const written: object[] = [];
  const state = { phase: 'Pending', refusal: null as Error | null, silent: false };
  const kube = {
    patch: async (_kind: string, _name: object, patch: object) => {
      if (state.refusal) throw state.refusal;
      written.push(patch);
      return POD;
    },
  } as unknown as KubeClient;
  const log = { warn: () => {} } as unknown as Logger;
  const reporter = new StatusReporter(kube, log, clock, POD);
  const build = () => (state.silent ? null : { phase: state.phase });
  const report = () => reporter.report(build, () => {});
  return { clock, written, state, report };
}

const patchOf = (phase: string) => ({ metadata: { uid: 'u-1' }, status: { phase } });

test("writes a status once, for this pod's uid", async () => {
  const { written, report, state } = world();
  await report();
  await report();
  state.phase = 'Running';
  await report();
  assert.deepEqual(written, [patchOf('Pending'), patchOf('Running')]);
});

test('a waiting write takes the newest status', async () => {
  const { written, report, state } = world();
  const first = report();
  const second = report();
  state.phase = 'Running';
  await Promise.all([first, second]);
  assert.deepEqual(written, [patchOf('Running')]);
});

test('retries a status that the server refused', async () => {
  const { clock, written, report, state } = world();
  state.refusal = new Error('away');
  await report();
  state.refusal = null;
  state.phase = 'Running';
  await clock.pass(1000);
  await report();
  assert.deepEqual(written, [patchOf('Running')]);
});

for (const status of [404, 409]) {
  test(`writes nothing more for a missing pod (${status})`, async () => {
    const { clock, written, report, state } = world();
    state.refusal = new KubeStatusError(status, { reason: status === 404 ? 'NotFound' : '' }, '');
    await report();
    state.refusal = null;
    await clock.pass(10_000);
    assert.deepEqual(written, []);
  });
}

test('writes nothing without a status', async () => {
  const { written, report, state } = world();
  state.silent = true;
  await report();
  assert.deepEqual(written, []);
});
