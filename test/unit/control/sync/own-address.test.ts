import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OwnAddress } from '../../../../control/sync/own-address.ts';
import { FakeClock } from '../../../support/clock.ts';

const STEERED = '172.18.0.11';
const OTHER = '172.18.0.99';

/** An own address with an API server that records writes and refuses a given number of them. */
function world() {
  const clock = new FakeClock();
  const logged: string[] = [];
  const annotations: unknown[] = [];
  const events: string[] = [];
  const api = { refusals: 0 };
  const line = (_: object, message: string) => void logged.push(message);
  const client = {
    async patch(_kind: string, _name: object, patch: { metadata: { annotations: object } }) {
      if (api.refusals-- > 0) throw new Error('forbidden');
      annotations.push(Object.values(patch.metadata.annotations)[0]);
    },
    async create(_kind: string, { reason }: { reason: string }) {
      events.push(reason);
    },
  };
  const own = new OwnAddress({
    client: client as never,
    ...{ node: 'n1', steered: STEERED, clock, log: { info: line, warn: line, error: line } },
  });
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  return { clock, logged, annotations, events, api, own, settle };
}

test('writes nothing while the Node has the steered address', async () => {
  const { own, annotations, events, logged, settle } = world();
  own.take(STEERED, null);
  await settle();
  assert.deepEqual([annotations, events, logged], [[], [], []]);
  assert.deepEqual(own.report(), { steered: STEERED, internalIP: STEERED });
});

test('publishes the steered address while the Node has another one or none', async () => {
  for (const internal of [OTHER, null]) {
    const { own, annotations, events, settle } = world();
    own.take(internal, null);
    await settle();
    assert.deepEqual([annotations, events], [[STEERED], ['NodeAddressDiffers']]);
    assert.deepEqual(own.report(), { steered: STEERED, internalIP: internal });
    // Receives its own write.
    own.take(internal, STEERED);
    await settle();
    own.take(STEERED, STEERED);
    await settle();
    assert.deepEqual(annotations, [STEERED, null]);
  }
});

test('restores a removed annotation, with one event for the difference', async () => {
  const { own, annotations, events, settle } = world();
  for (const published of [null, STEERED, null]) {
    own.take(OTHER, published);
    await settle();
  }
  assert.deepEqual([annotations, events], [[STEERED, STEERED], ['NodeAddressDiffers']]);
});

test('retries after a refusal of the API server, and logs that once', async () => {
  const { own, annotations, api, clock, logged, settle } = world();
  api.refusals = 2;
  own.take(OTHER, null);
  for (let n = 0; n < 3; n++) {
    await settle();
    clock.advance(5000);
  }
  await settle();
  assert.deepEqual(annotations, [STEERED]);
  assert.equal(
    logged.filter((line) => line.includes('annotation with the steered address')).length,
    1,
  );
});

test('writes nothing after a stop', async () => {
  const { own, annotations, api, clock, settle } = world();
  api.refusals = 1;
  own.take(OTHER, null);
  own.stop();
  await settle();
  assert.equal(clock.waiting, 0);
  own.take(OTHER, null);
  await settle();
  assert.deepEqual(annotations, []);
});
