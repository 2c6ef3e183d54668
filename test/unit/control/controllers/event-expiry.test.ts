import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { startWorld } from './world.ts';

const MINUTE_MS = 60_000;
let world: ReturnType<typeof startWorld>;

beforeEach(() => {
  world = startWorld();
});
afterEach(() => world.controllers.stop());

const names = () => world.list('Event').map(({ metadata }) => metadata.name);

async function pass(minutes: number): Promise<void> {
  world.clock.advance(minutes * MINUTE_MS);
  await world.idle();
}

test('an event expires an hour after its last occurrence', async () => {
  const now = () => new Date(world.clock.unixMs()).toISOString();
  for (const name of ['once', 'again']) {
    const involvedObject = { kind: 'Pod', name: 'p', namespace: 'default' };
    world.create('Event', { metadata: { name }, involvedObject, lastTimestamp: now() });
  }
  await pass(50);
  assert.deepEqual(names(), ['once', 'again']);
  world.patch('Event', 'again', { lastTimestamp: now(), count: 2 });
  await pass(11);
  assert.deepEqual(names(), ['again']);
  await pass(48);
  assert.deepEqual(names(), ['again']);
  await pass(2);
  assert.deepEqual(names(), []);
});

test('a namespace keeps the latest thousand events', async () => {
  const create = (name: string) => {
    const involvedObject = { kind: 'Pod', name: 'p', namespace: 'default' };
    world.create('Event', { metadata: { name }, involvedObject });
  };
  for (let i = 0; i < 1005; i++) {
    create(`e${i}`);
    if (i === 900) world.patch('Event', 'e0', { count: 2 });
  }
  await world.idle();
  const left = new Set(names());
  assert.equal(left.size, 1000);
  const gone = Array.from({ length: 7 }, (_, i) => `e${i}`).filter((name) => !left.has(name));
  assert.deepEqual(gone, ['e1', 'e2', 'e3', 'e4', 'e5']);
});
