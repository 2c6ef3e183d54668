// CronJobs: times, concurrency, history.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { eventsOf, node, startWorld } from './world.ts';

const MINUTE_MS = 60_000;
let world: ReturnType<typeof startWorld>;

beforeEach(() => {
  world = startWorld((bare) => bare.create('Node', node('node1')));
});
afterEach(() => world.controllers.stop());

const cron = () => world.get('CronJob', 'tick')!;
const jobs = () => world.list('Job').sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
const names = () => jobs().map(({ metadata }) => metadata.name);
const nameAt = (ms: number) => `tick-${Math.floor(ms / MINUTE_MS)}`;
const reasons = () => eventsOf(world, 'tick').map(([reason]) => reason);

function cronJob(spec: object): object {
  const containers = [{ name: 'main', image: 'pause' }];
  const template = { spec: { containers, restartPolicy: 'Never' } };
  const jobTemplate = { metadata: { labels: { of: 'tick' } }, spec: { template } };
  return { metadata: { name: 'tick' }, spec: { schedule: '* * * * *', jobTemplate, ...spec } };
}

async function make(spec: object = {}): Promise<void> {
  world.create('CronJob', cronJob(spec));
  await world.idle();
}

/** Lets minutes pass one by one, so that each run can start. */
async function pass(minutes: number): Promise<void> {
  for (let i = 0; i < minutes; i++) {
    world.clock.advance(MINUTE_MS);
    await world.idle();
  }
}

async function endAll(phase: string): Promise<void> {
  for (const pod of world.list('Pod')) {
    if (pod.status.phase === 'Pending') world.patchStatus('Pod', pod.metadata.name, { phase });
  }
  await world.idle();
}

test('a CronJob creates a Job at each time of its schedule', async () => {
  await make();
  assert.deepEqual(names(), []);
  await pass(2);
  const now = world.clock.unixMs();
  assert.deepEqual(names(), [nameAt(now - MINUTE_MS), nameAt(now)]);
  const [first] = jobs();
  assert.equal(first!.metadata.labels!.of, 'tick');
  assert.equal(first!.metadata.ownerReferences![0]!.kind, 'CronJob');
  assert.match(
    first!.metadata.annotations!['batch.kubernetes.io/cronjob-scheduled-timestamp']!,
    /:00Z$/,
  );
  assert.deepEqual(
    cron().status.active.map(({ name, kind }: { name: string; kind: string }) => [kind, name]),
    names().map((name) => ['Job', name]),
  );
  assert.equal(nameAt(Date.parse(cron().status.lastScheduleTime)), nameAt(now));
  assert.equal(reasons()[0], 'SuccessfulCreate');
});

test('a finished Job leaves the active ones, and a success is noted', async () => {
  await make();
  await pass(1);
  await endAll('Succeeded');
  assert.equal(cron().status.active, undefined);
  assert.equal(cron().status.lastSuccessfulTime, jobs()[0]!.status.completionTime);
  assert.ok(reasons().includes('SawCompletedJob'));
  await pass(1);
  world.remove('Job', names().at(-1)!);
  await world.idle();
  assert.equal(cron().status.active, undefined);
  assert.ok(reasons().includes('MissingJob'));
});

test('the history limits keep the last Jobs that succeeded and failed', async () => {
  const jobTemplate = { spec: { backoffLimit: 0 } };
  await make({ successfulJobsHistoryLimit: 2, failedJobsHistoryLimit: 1 });
  world.patch('CronJob', 'tick', { spec: { jobTemplate } });
  for (const phase of ['Succeeded', 'Failed', 'Succeeded', 'Failed', 'Succeeded']) {
    await pass(1);
    await endAll(phase);
  }
  const now = world.clock.unixMs();
  assert.deepEqual(
    names(),
    [2, 1, 0].map((back) => nameAt(now - back * MINUTE_MS)),
  );
  assert.ok(reasons().includes('SuccessfulDelete'));
});

test('Forbid starts no second Job, and runs again when the first has ended', async () => {
  await make({ concurrencyPolicy: 'Forbid' });
  await pass(3);
  assert.equal(jobs().length, 1);
  assert.ok(reasons().includes('JobAlreadyActive'));
  await endAll('Succeeded');
  assert.equal(jobs().length, 2, 'the last missed time is made up for');
});

test('Replace deletes the running Job', async () => {
  await make({ concurrencyPolicy: 'Replace' });
  await pass(3);
  assert.deepEqual(names(), [nameAt(world.clock.unixMs())]);
  assert.equal(cron().status.active.length, 1);
});

test('a suspended CronJob creates no Job; a resumed one runs for the last missed time only', async () => {
  await make({ suspend: true });
  await pass(5);
  assert.equal(jobs().length, 0);
  world.patch('CronJob', 'tick', { spec: { suspend: false } });
  await world.idle();
  assert.deepEqual(names(), [nameAt(world.clock.unixMs())]);
});

test('a time that passed more than startingDeadlineSeconds ago gets no Job', async () => {
  const minute = (new Date(world.clock.unixMs()).getUTCMinutes() + 2) % 60;
  await make({ schedule: `${minute} * * * *`, suspend: true, startingDeadlineSeconds: 90 });
  await pass(6);
  world.patch('CronJob', 'tick', { spec: { suspend: false } });
  await world.idle();
  assert.deepEqual(names(), []);
  world.patch('CronJob', 'tick', { spec: { startingDeadlineSeconds: 600 } });
  await world.idle();
  assert.equal(jobs().length, 1);
});

test('many missed times cause one Job and a warning', async () => {
  await make({ suspend: true });
  world.clock.advance(30 * 24 * 60 * MINUTE_MS);
  world.patch('CronJob', 'tick', { spec: { suspend: false } });
  await world.idle();
  assert.deepEqual(names(), [nameAt(world.clock.unixMs())]);
  assert.ok(reasons().includes('TooManyMissedTimes'));
});

test('a schedule follows its time zone', async () => {
  const inTokyo = new Date(world.clock.unixMs() + 9 * 60 * MINUTE_MS + 2 * MINUTE_MS);
  const schedule = `${inTokyo.getUTCMinutes()} ${inTokyo.getUTCHours()} * * *`;
  await make({ schedule, timeZone: 'Asia/Tokyo' });
  await pass(1);
  assert.equal(jobs().length, 0);
  await pass(2);
  assert.equal(jobs().length, 1);
});

test('a refused Job causes an event, and is tried again', async (t) => {
  t.mock.method(console, 'error', () => {});
  await make();
  const name = nameAt(world.clock.unixMs() + MINUTE_MS);
  const template = { spec: { containers: [{ name: 'c', image: 'x' }], restartPolicy: 'Never' } };
  world.create('Job', { metadata: { name }, spec: { template } });
  await pass(1);
  assert.ok(reasons().includes('FailedCreate'));
  assert.equal(cron().status.active, undefined);
  world.remove('Job', name);
  world.clock.advance(1000);
  await world.idle();
  assert.equal(jobs().length, 1);
  assert.equal(cron().status.active.length, 1);
});

test('Jobs are deleted with their CronJob', async () => {
  await make();
  await pass(2);
  world.remove('CronJob', 'tick');
  await world.idle();
  assert.deepEqual(names(), []);
});
