import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Container, Probe } from '../../../../../control/kube/kinds.ts';
import { ContainerProbes } from '../../../../../lab/pods/probe/probes.ts';
import { TestClock } from '../../../../support/clock.ts';

const EVERY_SECOND = { tcpSocket: { port: 80 }, periodSeconds: 1, failureThreshold: 2 };

/** A container with the probe results in `answers`. `log` has the events in order. */
function world(container: Partial<Container>, random = 0) {
  const clock = new TestClock();
  const answers = { startup: true, liveness: true, readiness: true };
  const hanging = new Set<string>();
  const log: string[] = [];
  const kindOf = (probe: Probe) =>
    probe === container.startupProbe
      ? 'startup'
      : probe === container.livenessProbe
        ? 'liveness'
        : 'readiness';
  const probes: ContainerProbes = new ContainerProbes(
    { name: 'main', ...container },
    {
      clock,
      random: () => random,
      attempt: (probe) => {
        const kind = kindOf(probe);
        log.push(kind);
        if (hanging.has(kind)) return new Promise(() => {});
        return Promise.resolve({ good: answers[kind], output: kind });
      },
      onChange: () => log.push(probes.ready ? 'ready' : probes.started ? 'started' : 'nothing'),
      onUnhealthy: (kind) => log.push(`unhealthy ${kind}`),
      onDead: (kind, graceS) => log.push(`dead ${kind} ${graceS}`),
    },
  );
  const since = () => log.splice(0);
  return { clock, answers, hanging, probes, since };
}

test('a container without probes is started and ready at once', () => {
  const { probes } = world({});
  assert.deepEqual([probes.started, probes.ready], [false, false]);
  probes.begin(0);
  assert.deepEqual([probes.started, probes.ready], [true, true]);
});

test('readiness follows the readiness probe and its failure threshold', async () => {
  const { clock, answers, probes, since } = world({ readinessProbe: EVERY_SECOND });
  probes.begin(0);
  assert.deepEqual([probes.started, probes.ready], [true, false]);
  await clock.pass(0);
  assert.deepEqual(since(), ['readiness', 'ready']);
  answers.readiness = false;
  await clock.pass(1000);
  assert.deepEqual(since(), ['readiness', 'unhealthy Readiness']);
  await clock.pass(1000);
  assert.deepEqual(since(), ['readiness', 'unhealthy Readiness', 'started']);
});

test("kills once at the liveness threshold, with the probe's grace period", async () => {
  const livenessProbe = { ...EVERY_SECOND, terminationGracePeriodSeconds: 7 };
  const { clock, answers, probes, since } = world({ livenessProbe });
  answers.liveness = false;
  probes.begin(0);
  await clock.pass(10_000);
  const attempt = ['liveness', 'unhealthy Liveness'];
  assert.deepEqual(since(), [...attempt, ...attempt, 'dead Liveness 7']);
  answers.liveness = true;
  probes.begin(clock.unixMs());
  await clock.pass(0);
  assert.deepEqual(since(), ['liveness'], 'the next start is probed again');
});

test('other probes wait for the startup probe', async () => {
  const { clock, answers, probes, since } = world({
    startupProbe: { ...EVERY_SECOND, failureThreshold: 10 },
    livenessProbe: EVERY_SECOND,
    readinessProbe: { ...EVERY_SECOND },
  });
  answers.startup = false;
  probes.begin(0);
  await clock.pass(500);
  assert.deepEqual(since(), ['startup', 'unhealthy Startup']);
  answers.startup = true;
  await clock.pass(1000);
  assert.deepEqual(since(), ['startup', 'started', 'liveness', 'readiness', 'ready']);
  await clock.pass(1000);
  assert.deepEqual(since().sort(), ['liveness', 'readiness'], 'and runs no more');
});

test('kills if the startup probe never succeeds', async () => {
  const { clock, answers, probes, since } = world({ startupProbe: EVERY_SECOND });
  answers.startup = false;
  probes.begin(0);
  await clock.pass(10_000);
  assert.equal(since().at(-1), 'dead Startup undefined');
  assert.equal(probes.ready, false);
});

test('a hanging probe does not delay the others', async () => {
  const { clock, hanging, probes, since } = world({
    livenessProbe: EVERY_SECOND,
    readinessProbe: { ...EVERY_SECOND },
  });
  hanging.add('liveness');
  probes.begin(0);
  await clock.pass(2000);
  assert.deepEqual(since(), ['liveness', 'readiness', 'ready', 'readiness', 'readiness']);
});

test('probes only readiness of an ending pod', async () => {
  const { clock, answers, probes, since } = world({
    livenessProbe: EVERY_SECOND,
    readinessProbe: { ...EVERY_SECOND, failureThreshold: 1 },
  });
  probes.begin(0);
  await clock.pass(0);
  since();
  probes.beginTermination();
  answers.readiness = false;
  answers.liveness = false;
  await clock.pass(1000);
  assert.deepEqual(since(), ['readiness', 'unhealthy Readiness', 'started']);
});

test('an adopted container keeps its state until its probes change it', async () => {
  const container = {
    startupProbe: EVERY_SECOND,
    readinessProbe: { ...EVERY_SECOND, periodSeconds: 10 },
  };
  const { clock, answers, probes, since } = world(container, 0.5);
  probes.begin(0, { started: true, ready: true });
  assert.equal(probes.ready, true);
  await clock.pass(4000);
  assert.deepEqual(since(), [], 'the first probe is somewhere within a period');
  answers.readiness = false;
  await clock.pass(1000);
  assert.deepEqual(since(), ['readiness', 'unhealthy Readiness']);
  assert.equal(probes.ready, true);
  await clock.pass(10_000);
  assert.equal(probes.ready, false);
});

test('a stopped container is neither probed nor ready', async () => {
  const { clock, probes, since } = world({ readinessProbe: EVERY_SECOND });
  probes.begin(0);
  await clock.pass(0);
  probes.stop();
  since();
  await clock.pass(5000);
  assert.deepEqual(since(), []);
  assert.equal(probes.ready, false);
});
