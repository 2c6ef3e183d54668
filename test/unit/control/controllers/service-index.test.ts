import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServiceIndex } from '../../../../control/controllers/endpoints/service-index.ts';

type Labels = Record<string, string>;

const service = (selector: Labels | undefined, namespace = 'default') => ({
  metadata: { name: 's', namespace },
  spec: { selector },
});
const choosing = (index: ServiceIndex, labels: Labels, namespace = 'default') =>
  [...index.choosing({ metadata: { name: 'p', namespace, labels } })].sort();

test('a pod finds the Services whose selectors it matches, each once', () => {
  const index = new ServiceIndex();
  index.put('a', service({ app: 'a' }));
  index.put('both', service({ app: 'a', tier: 'x' }));
  index.put('other', service({ app: 'a', tier: 'y' }));
  assert.deepEqual(choosing(index, { app: 'a', tier: 'x' }), ['a', 'both']);
  assert.deepEqual(choosing(index, { tier: 'x' }), []);
  assert.deepEqual(choosing(index, { app: 'a' }, 'elsewhere'), []);
});

test('an updated Service is found by its new selector only', () => {
  const index = new ServiceIndex();
  index.put('s', service({ app: 'a' }));
  index.put('s', service({ app: 'b' }));
  assert.deepEqual(choosing(index, { app: 'a' }), []);
  assert.deepEqual(choosing(index, { app: 'b' }), ['s']);
  index.put('s', service(undefined));
  assert.deepEqual(choosing(index, { app: 'b' }), []);
});

test('Services with a common label are found by their other labels, also after removals', () => {
  const index = new ServiceIndex();
  for (let i = 0; i < 50; i++) index.put(`s${i}`, service({ tier: 'x', app: `a${i}` }));
  for (let i = 0; i < 50; i += 2) index.remove(`s${i}`);
  assert.deepEqual(choosing(index, { tier: 'x', app: 'a7' }), ['s7']);
  assert.deepEqual(choosing(index, { tier: 'x', app: 'a8' }), []);
});
