import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ContainerState,
  type PodContainers,
  phaseOf,
  type RestartPolicy,
  type State,
  type Terminated,
} from '../../../../../lab/pods/status/phase.ts';

function container(state: State, change: Partial<ContainerState> = {}): ContainerState {
  const rest = { image: '', ready: false, started: false, restarts: 0, lastState: {}, id: '' };
  return { name: 'c', ...rest, state, ...change };
}

function ended(exitCode: number): { terminated: Terminated } {
  const times = { startedAt: '', finishedAt: '', containerID: '' };
  return { terminated: { exitCode, reason: '', ...times } };
}

const WAITS = container({ waiting: { reason: 'ContainerCreating' } });
const RUNS = container({ running: { startedAt: '' } });
const BACKS_OFF = container({ waiting: { reason: 'CrashLoopBackOff' } }, { lastState: ended(1) });
const GOOD = container(ended(0));
const BAD = container(ended(1));
const STARTED = container({ running: { startedAt: '' } }, { started: true });

type Row = [
  what: string,
  containers: Partial<PodContainers>,
  policy: RestartPolicy,
  phase: string,
  ending?: boolean,
];
const ROWS: Row[] = [
  ['nothing is made yet', {}, 'Always', 'Pending'],
  ['one container still waits', { containers: [RUNS, WAITS] }, 'Always', 'Pending'],
  ['one runs and one backs off', { containers: [RUNS, BACKS_OFF] }, 'Always', 'Running'],
  ['all back off', { containers: [BACKS_OFF] }, 'Always', 'Running'],
  ['all have ended and are started again', { containers: [GOOD] }, 'Always', 'Running'],
  ['one of two has ended', { containers: [GOOD, RUNS] }, 'Never', 'Running'],
  ['all have ended well', { containers: [GOOD, GOOD] }, 'OnFailure', 'Succeeded'],
  ['one has ended badly, for good', { containers: [GOOD, BAD] }, 'Never', 'Failed'],
  ['one has ended badly and is tried again', { containers: [BAD] }, 'OnFailure', 'Running'],
  ['a pod that ends has ended well', { containers: [GOOD] }, 'Always', 'Succeeded', true],
  ['a pod that ends has ended badly', { containers: [GOOD, BAD] }, 'Always', 'Failed', true],
  ['an init container runs', { inits: [RUNS], containers: [WAITS] }, 'Always', 'Pending'],
  ['an init container failed for good', { inits: [BAD], containers: [WAITS] }, 'Never', 'Failed'],
  ['an init container backs off', { inits: [BACKS_OFF], containers: [WAITS] }, 'Always', 'Pending'],
  ['a sidecar has not started', { sidecars: [RUNS], containers: [WAITS] }, 'Always', 'Pending'],
  ['a sidecar starts again', { sidecars: [BACKS_OFF], containers: [RUNS] }, 'Always', 'Running'],
  ['only a sidecar is left', { sidecars: [STARTED], containers: [GOOD] }, 'Never', 'Running'],
  ['the sidecar has ended too', { sidecars: [BAD], containers: [GOOD] }, 'Never', 'Succeeded'],
];
for (const [what, containers, policy, phase, ending = false] of ROWS) {
  test(`${policy}: ${phase} when ${what}`, () => {
    const all = { inits: [], sidecars: [], containers: [], ...containers };
    assert.equal(phaseOf(all, policy, ending), phase);
  });
}
