import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  isOver,
  nextToStart,
  policyOf,
  type Startable,
} from '../../../../../lab/pods/container/order.ts';

function container(name: string, change: Partial<Startable> = {}): Startable {
  return { spec: { name }, begun: false, started: false, result: null, ...change };
}

function sidecar(name: string, change: Partial<Startable> = {}): Startable {
  return container(name, { spec: { name, restartPolicy: 'Always' }, ...change });
}

const RUNS = { begun: true, started: true };
const DONE = { begun: true, result: 0 };
const FAILED = { begun: true, result: 1 };
const MAIN = [container('a'), container('b')];

const ROWS: [what: string, inits: Startable[], mains: Startable[], starts: string[]][] = [
  ['without init containers all start together', [], MAIN, ['a', 'b']],
  ['the first init container starts alone', [container('i'), container('j')], MAIN, ['i']],
  ['the next waits until it has ended', [container('i', RUNS), container('j')], MAIN, []],
  ['the next starts when it has ended', [container('i', DONE), container('j')], MAIN, ['j']],
  ['a failed init container blocks all', [container('i', FAILED), container('j')], MAIN, []],
  ['all start after the last', [container('i', DONE), container('j', DONE)], MAIN, ['a', 'b']],
  ['a sidecar that has not started blocks all', [sidecar('s', { begun: true })], MAIN, []],
  ['a started sidecar blocks none', [sidecar('s', RUNS), container('i')], MAIN, ['i']],
  [
    'a sidecar that restarts does not delay started containers',
    [sidecar('s', { begun: true })],
    [container('a', RUNS), container('b')],
    ['b'],
  ],
];
for (const [what, inits, mains, starts] of ROWS) {
  test(`order: ${what}`, () => {
    assert.deepEqual(
      nextToStart(inits, mains).map(({ spec }) => spec.name),
      starts,
    );
  });
}

test('a pod is over when its containers have ended or an init container has failed', () => {
  assert.equal(isOver([sidecar('s', RUNS)], [container('a', DONE), container('b', FAILED)]), true);
  assert.equal(isOver([sidecar('s', RUNS)], [container('a', DONE), container('b', RUNS)]), false);
  assert.equal(isOver([container('i', FAILED)], [container('a')]), true);
});

test("restarts init containers on failure, sidecars always, others by the pod's policy", () => {
  const spec = { name: 'c' };
  assert.equal(policyOf(spec, true, 'Always'), 'OnFailure');
  assert.equal(policyOf(spec, true, 'Never'), 'Never');
  assert.equal(policyOf({ ...spec, restartPolicy: 'Always' }, true, 'Never'), 'Always');
  assert.equal(policyOf(spec, false, 'Always'), 'Always');
});
