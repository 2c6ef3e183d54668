// CronJobs: schedule, time zone, concurrency, history.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { parseSchedule } from '../../../../control/model/schedule.ts';
import { eventsOf, startWorld } from './world.ts';

let world: ReturnType<typeof startWorld>;

beforeEach(() => {
  world = startWorld();
});
afterEach(() => world.controllers.stop());

const MINUTE_MS = 60_000;
const jobs = () => world.list('Job').sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
const status = () => world.get('CronJob', 'tick')!.status;

async function make(spec: object = {}): Promise<void> {
  const containers = [{ name: 'main', image: 'pause' }];
  const template = { spec: { restartPolicy: 'Never', containers } };
  const jobTemplate = { spec: { template }, metadata: { labels: { made: 'by-tick' } } };
  world.create('CronJob', {
    metadata: { name: 'tick' },
    spec: { schedule: '* * * * *', jobTemplate, ...spec },
  });
  await world.idle();
}

/** Time passes until the first second of so many minutes from now. */
async function minutes(count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const now = world.clock.unixMs();
    world.clock.advance(MINUTE_MS - (now % MINUTE_MS) + 500);
    await world.idle();
  }
}

async function finish(name: string, isDone = true): Promise<void> {
  for (const pod of world.list('Pod')) {
    if (pod.metadata.labels?.['job-name'] !== name) continue;
    world.patchStatus('Pod', pod.metadata.name, { phase: isDone ? 'Succeeded' : 'Failed' });
  }
  await world.idle();
}

test('makes a Job at each time of its schedule, named by the minute', async () => {
  await make();
  assert.deepEqual(jobs(), []);
  await minutes(1);
  const minute = Math.floor(world.clock.unixMs() / MINUTE_MS);
  const [job] = jobs();
  assert.equal(job!.metadata.name, `tick-${minute}`);
  assert.equal(job!.metadata.labels!.made, 'by-tick');
  assert.equal(
    status().lastScheduleTime,
    new Date(minute * MINUTE_MS).toISOString().replace('.000', ''),
  );
  assert.deepEqual(
    status().active.map(({ name }: { name: string }) => name),
    [job!.metadata.name],
  );
  await minutes(1);
  assert.equal(jobs().length, 2);
});

test('notes the end of a Job', async () => {
  await make();
  await minutes(1);
  const { name } = jobs()[0]!.metadata;
  await finish(name);
  assert.equal(status().active, undefined);
  assert.ok(status().lastSuccessfulTime);
  const events = eventsOf(world, 'tick').map(([, message]) => message);
  assert.deepEqual(events, [
    `Created job ${name}`,
    `Saw completed job: ${name}, condition: Complete`,
  ]);
});

test('Forbid skips a time while a Job runs, Replace ends the Job', async () => {
  await make({ concurrencyPolicy: 'Forbid' });
  await minutes(2);
  assert.equal(jobs().length, 1);
  const first = jobs()[0]!.metadata.name;
  world.patch('CronJob', 'tick', { spec: { concurrencyPolicy: 'Replace' } });
  await minutes(1);
  assert.equal(jobs().length, 1);
  assert.notEqual(jobs()[0]!.metadata.name, first);
});

test('keeps as many finished Jobs as it says', async () => {
  await make({ successfulJobsHistoryLimit: 2, failedJobsHistoryLimit: 1 });
  for (let i = 0; i < 4; i++) {
    await minutes(1);
    await finish(jobs().at(-1)!.metadata.name);
  }
  assert.equal(jobs().length, 2);
});

test('makes one Job for many missed times, and none that is too late', async () => {
  await make({ suspend: true, startingDeadlineSeconds: 30 });
  await minutes(5);
  assert.deepEqual(jobs(), []);
  // Half a minute past the last time.
  world.clock.advance(40_000);
  world.patch('CronJob', 'tick', { spec: { suspend: false } });
  await world.idle();
  assert.deepEqual(jobs(), [], 'too late');
  await minutes(1);
  assert.equal(jobs().length, 1);
  world.patch('CronJob', 'tick', { spec: { suspend: true, startingDeadlineSeconds: null } });
  await minutes(5);
  world.patch('CronJob', 'tick', { spec: { suspend: false } });
  await world.idle();
  assert.equal(jobs().length, 2);
});

test('times are those of the time zone', () => {
  const next = (schedule: string, zone: string | undefined, from: number) =>
    new Date(parseSchedule(schedule, zone).after(from)!).toISOString();
  const winter = Date.UTC(2026, 0, 10);
  assert.equal(next('0 3 * * *', undefined, winter), '2026-01-10T03:00:00.000Z');
  assert.equal(next('0 3 * * *', 'Asia/Tokyo', winter), '2026-01-10T18:00:00.000Z');
  assert.equal(
    next('0 3 * * *', 'Europe/Berlin', Date.UTC(2026, 6, 1)),
    '2026-07-01T01:00:00.000Z',
  );
  assert.equal(next('0 3 1 * 5', undefined, winter), '2026-01-16T03:00:00.000Z', 'day or weekday');
});

test('the last time up to a moment includes the moment', () => {
  const schedule = parseSchedule('*/5 * * * *');
  const five = Date.UTC(2026, 0, 1, 0, 5);
  assert.equal(schedule.upTo(five), five);
  assert.equal(schedule.upTo(five + 999), five);
  assert.equal(schedule.upTo(five - 1), five - 5 * MINUTE_MS);
  assert.equal(parseSchedule('0 0 31 2 *').after(five), null);
});

for (const schedule of [
  '* * * *',
  '60 * * * *',
  '* * * * * *',
  '@every 1h',
  'TZ=UTC * * * * *',
  'x',
]) {
  test(`refuses the schedule ${schedule}`, () => {
    assert.throws(() => parseSchedule(schedule), Error);
  });
}
