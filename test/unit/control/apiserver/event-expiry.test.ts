import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventExpiry } from '../../../../control/apiserver/event-expiry.ts';
import type { KubeObject } from '../../../../control/apiserver/object.ts';
import { Store } from '../../../../control/apiserver/store.ts';

const MINUTE_MS = 60_000;
const START_MS = Date.parse('2026-01-01T12:00:00Z');

function world(...there: KubeObject[]) {
  const store = new Store([{ plural: 'events', group: '', kind: 'Event' }], 1);
  for (const object of there) store.create('events', object);
  const clock = { ms: START_MS };
  const expiry = new EventExpiry(store, () => clock.ms);
  const pass = (minutes: number) => {
    clock.ms += minutes * MINUTE_MS;
    expiry.sweep();
  };
  const names = () => store.list('events').map(({ metadata }) => metadata.name);
  return { store, expiry, pass, names };
}

const event = (name: string, at?: string): KubeObject => ({
  metadata: { name, namespace: 'a', ...(at && { creationTimestamp: at }) },
});

test('an event goes an hour after it was last written', () => {
  const { store, expiry, pass, names } = world();
  store.create('events', event('first'));
  store.create('events', event('again'));
  pass(30);
  store.update('events', { ...event('again'), count: 2 });
  pass(29);
  assert.deepEqual(names(), ['first', 'again']);
  pass(1);
  assert.deepEqual(names(), ['again']);
  pass(30);
  assert.deepEqual(names(), []);
  expiry.stop();
});

test('what an earlier life of the server left is as old as it says', () => {
  const old = event('old', '2026-01-01T10:59:00Z');
  const repeated = {
    ...event('repeated', '2026-01-01T10:00:00Z'),
    lastTimestamp: '2026-01-01T11:30:00Z',
  };
  const { expiry, pass, names } = world(repeated, old, event('silent', '2026-01-01T11:59:00Z'));
  expiry.sweep();
  assert.deepEqual(names(), ['repeated', 'silent']);
  pass(31);
  assert.deepEqual(names(), ['silent']);
  expiry.stop();
});

test('a namespace holds a thousand events at most, and loses the oldest', async () => {
  const { store, expiry } = world();
  for (let i = 0; i < 1010; i++) {
    store.create('events', event(`e${i}`));
  }
  store.create('events', { metadata: { name: 'other', namespace: 'b' } });
  await null;
  assert.equal(store.list('events', 'a').length, 1000);
  assert.equal(store.get('events', 'a', 'e9'), undefined);
  assert.ok(store.get('events', 'a', 'e10') && store.get('events', 'b', 'other'));
  expiry.stop();
});
