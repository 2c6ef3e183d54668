// Random packet sequences through the datapath and the kernel: a short `npm run differential`.
// KUBETUN_DIFFERENTIAL is their number (default: 2048).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runDifferential, SEQUENCES_IN_CI } from '../differential/run.ts';
import { assertGone } from '../support/lab.ts';

const LAB = 'e2e-diff';
const SEEDS = Number(process.env.KUBETUN_DIFFERENTIAL ?? SEQUENCES_IN_CI);

test('no sequence differs from the kernel outside the list of decided differences', async (t) => {
  const told: string[] = [];
  const summary = await runDifferential({
    ...{ lab: LAB, seeds: SEEDS, seed: 1, show: 2 },
    tell: (line) => told.push(line),
  });
  const { sequences, differences, steps, packets, seconds, decided } = summary;
  t.diagnostic(`${steps} steps, ${packets} arrivals, ${Math.round(seconds)} s`);
  // The output names the seed of each difference and the command that repeats it.
  assert.equal(differences, 0, told.join('\n'));
  assert.equal(sequences, SEEDS);
  // Most walks must reach their end: one that stops early compares little.
  const ended = Object.values(decided).reduce((sum, one) => sum + one.ended, 0);
  assert.ok(ended < SEEDS / 8, `${ended} sequences ended by a decision`);
  assert.ok(packets > 3 * SEEDS, `${packets} packets arrived on both sides`);
  for (const side of ['dp', 'nf']) assertGone(`${LAB}-${side}`);
});
