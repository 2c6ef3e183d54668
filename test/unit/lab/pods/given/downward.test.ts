import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '../../../../../control/kube/kinds.ts';
import { readField, readResource } from '../../../../../lab/pods/given/downward.ts';

const GIVEN = { podIP: '10.244.2.5', hostIP: '172.18.0.12', hostname: 'web' };
const LIMITED = {
  name: 'main',
  resources: { limits: { cpu: '1500m', memory: '64Mi' }, requests: { cpu: '0.1' } },
};

test('labels are sorted and quoted, one per line', () => {
  const pod = { metadata: { labels: { tier: 'front', app: 'a "b"' } } } as unknown as Pod;
  assert.equal(readField('metadata.labels', pod, GIVEN), 'app="a \\"b\\""\ntier="front"');
});

for (const [resource, divisor, value] of [
  ['limits.cpu', undefined, '2'],
  ['limits.cpu', '1m', '1500'],
  ['limits.memory', undefined, '67108864'],
  ['limits.memory', '1Mi', '64'],
  ['limits.memory', '1M', '68'],
  ['requests.cpu', '1m', '100'],
  ['requests.memory', undefined, '0'],
] as const) {
  test(`${resource} in units of ${divisor ?? 1} is ${value}`, () => {
    assert.equal(readResource(LIMITED, resource, divisor), value);
  });
}

test('without a limit it is the capacity of the machine', () => {
  assert.ok(Number(readResource({ name: 'main' }, 'limits.memory', '1Mi')) > 100);
});
