import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '../../../../../control/kube/kinds.ts';
import type { ContainerState } from '../../../../../lab/pods/status/phase.ts';
import { buildStatus, type PodState } from '../../../../../lab/pods/status/status.ts';

type Status = NonNullable<Pod['status']>;

function container(name: string, ready: boolean): ContainerState {
  const state = { running: { startedAt: '2026-01-01T00:00:00Z' } };
  const id = 'kubetun://7-9';
  return { name, image: 'pause', ready, started: ready, restarts: 2, state, lastState: {}, id };
}

function statusOf(state: Partial<PodState>, before: object = {}, spec: object = {}): Status {
  return buildStatus({ status: before, spec } as Pod, {
    phase: 'Running',
    podIP: '10.244.1.2',
    hostIP: '172.18.0.11',
    startTime: '2026-01-01T00:00:00Z',
    inits: [],
    sidecars: [],
    containers: [],
    problem: null,
    ...state,
  }) as Status;
}

function conditionsOf(status: Status): Record<string, string> {
  return Object.fromEntries(status.conditions!.map(({ type, status: holds }) => [type, holds]));
}

test('a pod is ready when all its containers are', () => {
  const status = statusOf({ containers: [container('a', true), container('b', true)] });
  assert.deepEqual(conditionsOf(status), {
    PodReadyToStartContainers: 'True',
    Initialized: 'True',
    Ready: 'True',
    ContainersReady: 'True',
    PodScheduled: 'True',
  });
  assert.deepEqual(status.podIPs, [{ ip: '10.244.1.2' }]);
  assert.deepEqual(status.hostIPs, [{ ip: '172.18.0.11' }]);
});

test('names the containers that keep a pod from being ready', () => {
  const status = statusOf({ containers: [container('a', true), container('b', false)] });
  const ready = status.conditions!.find(({ type }) => type === 'Ready')!;
  assert.equal(ready.status, 'False');
  assert.equal(ready.reason, 'ContainersNotReady');
  assert.equal(ready.message, 'containers with unready status: [b]');
});

test('a pod without containers yet is not ready', () => {
  assert.equal(conditionsOf(statusOf({})).Ready, 'False');
});

test('a pod without a network has no address', () => {
  const status = statusOf({ podIP: '' });
  assert.ok(!('podIP' in status));
  assert.ok(!('podIPs' in status));
});

test('reports what keeps a pod from running, and clears it later', () => {
  const problem = { reason: 'FailedCreatePodSandBox', message: 'why' };
  const stuck = statusOf({ phase: 'Pending', problem });
  assert.equal(stuck.reason, 'FailedCreatePodSandBox');
  assert.equal(stuck.message, 'why');
  const runs = statusOf({}) as { reason: unknown; message: unknown };
  // Null removes a field in a merge patch.
  assert.equal(runs.reason, null);
  assert.equal(runs.message, null);
});

test('a condition keeps its last transition time', () => {
  const lastTransitionTime = '2020-02-02T02:02:02Z';
  const before = {
    conditions: [
      { type: 'Ready', status: 'True', lastTransitionTime },
      { type: 'ContainersReady', status: 'False', lastTransitionTime },
    ],
  };
  const { conditions } = statusOf({ containers: [container('a', true)] }, before);
  const time = (type: string) => conditions!.find((c) => c.type === type)!.lastTransitionTime;
  assert.equal(time('Ready'), lastTransitionTime);
  assert.notEqual(time('ContainersReady'), lastTransitionTime);
});

test("the scheduler's condition stays as the scheduler wrote it", () => {
  const scheduled = { type: 'PodScheduled', status: 'True', reason: 'Given' };
  const { conditions } = statusOf({}, { conditions: [scheduled] });
  assert.deepEqual(
    conditions!.filter(({ type }) => type === 'PodScheduled'),
    [scheduled],
  );
});

test('a container is reported with its restarts and its process', () => {
  const [status] = statusOf({ containers: [container('a', true)] }).containerStatuses!;
  assert.equal(status!.restartCount, 2);
  assert.equal(status!.containerID, 'kubetun://7-9');
  assert.equal(status!.ready, true);
});

function conditionOf(status: Status, type: string) {
  const { status: holds, reason, message } = status.conditions!.find((c) => c.type === type)!;
  return [holds, reason, message];
}

const ENDED = {
  ...{ exitCode: 0, reason: 'Completed', containerID: '' },
  ...{ startedAt: '2026-01-01T00:00:00Z', finishedAt: '2026-01-01T00:00:01Z' },
};
const WAITS = { waiting: { reason: 'PodInitializing' } };

test('names the init containers that have not succeeded', () => {
  const status = statusOf({
    phase: 'Pending',
    inits: [
      { ...container('done', false), state: { terminated: ENDED } },
      container('runs', false),
    ],
    sidecars: [{ ...container('side', false), state: WAITS }],
    containers: [{ ...container('main', false), state: WAITS }],
  });
  assert.deepEqual(conditionOf(status, 'Initialized'), [
    'False',
    'ContainersNotInitialized',
    'containers with incomplete status: [runs side]',
  ]);
});

test('a restart of a sidecar clears readiness but not initialization', () => {
  const sidecars = [{ ...container('side', false), state: WAITS }];
  const status = statusOf({ sidecars, containers: [container('main', true)] });
  assert.deepEqual(conditionOf(status, 'Initialized'), ['True', undefined, undefined]);
  assert.equal(conditionOf(status, 'Ready')[2], 'containers with unready status: [side]');
});

test('a completed pod is not ready', () => {
  const status = statusOf({ phase: 'Succeeded', containers: [container('main', false)] });
  assert.deepEqual(conditionOf(status, 'Ready').slice(0, 2), ['False', 'PodCompleted']);
  assert.deepEqual(conditionOf(status, 'Initialized').slice(0, 2), ['True', 'PodCompleted']);
});

test('a readiness gate affects Ready but not ContainersReady', () => {
  const spec = { readinessGates: [{ conditionType: 'example.com/up' }], containers: [] };
  const state = { containers: [container('main', true)] };
  const closed = statusOf(state, {}, spec);
  assert.equal(conditionOf(closed, 'ContainersReady')[0], 'True');
  assert.deepEqual(conditionOf(closed, 'Ready').slice(0, 2), ['False', 'ReadinessGatesNotReady']);
  const conditions = [{ type: 'example.com/up', status: 'True' }];
  const open = statusOf(state, { conditions }, spec);
  assert.equal(conditionOf(open, 'Ready')[0], 'True');
  assert.equal(conditionOf(open, 'example.com/up')[0], 'True', 'and stays as it is');
});

test('init containers are reported in the order of the spec, ready once they have succeeded', () => {
  const names = ['first', 'side', 'last'];
  const spec = { initContainers: names.map((name) => ({ name })), containers: [] };
  const status = statusOf(
    {
      inits: [
        { ...container('first', false), state: { terminated: ENDED } },
        container('last', false),
      ],
      sidecars: [container('side', true)],
    },
    {},
    spec,
  );
  assert.deepEqual(
    status.initContainerStatuses!.map(({ name, ready }) => [name, ready]),
    [
      ['first', true],
      ['side', true],
      ['last', false],
    ],
  );
});
