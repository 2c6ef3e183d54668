import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Logger } from 'pino';
import type { KubeClient } from '../../../../../control/kube/client.ts';
import { KubeStatusError } from '../../../../../control/kube/error.ts';
import type { Pod } from '../../../../../control/kube/kinds.ts';
import { PodEvents } from '../../../../../lab/pods/status/events.ts';
import { TestClock } from '../../../../support/clock.ts';

interface Written {
  metadata: { name: string; namespace: string };
  count: number;
  firstTimestamp: string;
  lastTimestamp: string;
  [field: string]: unknown;
}

function world() {
  const events = new Map<string, Written>();
  const kube = {
    create: async (_kind: string, object: Written) => {
      events.set(object.metadata.name, structuredClone(object));
    },
    patch: async (_kind: string, { name }: { name: string }, patch: object) => {
      if (!events.has(name)) throw new KubeStatusError(404, { reason: 'NotFound' }, name);
      Object.assign(events.get(name)!, patch);
    },
  } as unknown as KubeClient;
  const log = { warn: () => {} } as unknown as Logger;
  const clock = new TestClock();
  const recorder = new PodEvents(kube, log, clock);
  const record = (message: string, uid = 'u-1') => {
    const metadata = { name: 'web', namespace: 'shop', uid, resourceVersion: '7' };
    const pod = { metadata, spec: { nodeName: 'node1' } } as unknown as Pod;
    const fieldPath = 'spec.containers{main}';
    recorder.record({ pod, type: 'Warning', reason: 'Unhealthy', message, fieldPath });
  };
  return { events, recorder, record, clock };
}

test('an event names its pod, its container, its node and its time', async () => {
  const { events, recorder, record, clock } = world();
  await clock.pass(5000);
  record('why');
  await recorder.flush();
  const [event] = [...events.values()];
  const { metadata, ...rest } = event!;
  assert.match(metadata.name, /^web\.[0-9a-f]+$/);
  assert.deepEqual(rest, {
    involvedObject: {
      apiVersion: 'v1',
      kind: 'Pod',
      namespace: 'shop',
      name: 'web',
      uid: 'u-1',
      resourceVersion: '7',
      fieldPath: 'spec.containers{main}',
    },
    type: 'Warning',
    reason: 'Unhealthy',
    message: 'why',
    count: 1,
    firstTimestamp: '1970-01-01T00:00:05Z',
    lastTimestamp: '1970-01-01T00:00:05Z',
    source: { component: 'kubelet', host: 'node1' },
    reportingComponent: 'kubelet',
    reportingInstance: 'node1',
  });
});

test('a repeated event increments the count, another message is a new event', async () => {
  const { events, recorder, record, clock } = world();
  record('why');
  await clock.pass(60_000);
  record('why');
  record('why not');
  await recorder.flush();
  const rows = [...events.values()].map((e) => [e.message, e.count, e.lastTimestamp]);
  assert.deepEqual(rows, [
    ['why', 2, '1970-01-01T00:01:00Z'],
    ['why not', 1, '1970-01-01T00:01:00Z'],
  ]);
});

test('writes a new event after the old one was removed', async () => {
  const { events, recorder, record } = world();
  record('why');
  await recorder.flush();
  events.clear();
  record('why');
  await recorder.flush();
  assert.deepEqual(
    [...events.values()].map(({ count }) => count),
    [1],
  );
});

test('limits each pod to 25 events at once and one more every five minutes', async () => {
  const { events, recorder, record, clock } = world();
  for (let i = 0; i < 40; i++) record(`message ${i}`);
  record('of another', 'u-2');
  await recorder.flush();
  assert.equal(events.size, 26);
  await clock.pass(300_000);
  record('later');
  record('too many');
  await recorder.flush();
  assert.equal(events.size, 27);
});
