// Two controllers and one Lease.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Leader } from '../../../../../control/ingress/controller/leader.ts';
import { statusChanges } from '../../../../../control/ingress/controller/report.ts';
import type { KubeClient } from '../../../../../control/kube/client.ts';
import { KubeStatusError } from '../../../../../control/kube/error.ts';
import { FakeClock } from '../../../../support/clock.ts';

const LEASE = { namespace: 'ingress', name: 'l' };
const LOG = { info: () => {}, warn: () => {}, error: () => {} };

/** One Lease that refuses a change of an older version. */
class FakeLease {
  isAway = false;
  spec: Record<string, unknown> | null = null;
  version = 0;

  get client(): Pick<KubeClient, 'get' | 'create' | 'patch'> {
    const answer = <T>(read: () => T) =>
      this.isAway ? Promise.reject(new Error('away')) : Promise.resolve().then(read);
    const refuse = (status: number, reason: string) => new KubeStatusError(status, { reason }, '');
    return {
      get: () =>
        answer(() => {
          if (!this.spec) throw refuse(404, 'NotFound');
          return { metadata: { resourceVersion: String(this.version) }, spec: { ...this.spec } };
        }),
      create: (_kind: string, object: { spec: Record<string, unknown> }) =>
        answer(() => {
          if (this.spec) throw refuse(409, 'AlreadyExists');
          this.#write(object.spec);
        }),
      patch: (_kind: string, _name: object, change: object) =>
        answer(() => {
          const { metadata, spec } = change as {
            metadata?: { resourceVersion: string };
            spec: Record<string, unknown>;
          };
          const asked = metadata?.resourceVersion ?? String(this.version);
          if (asked !== String(this.version)) throw refuse(409, 'Conflict');
          this.#write({ ...this.spec, ...spec });
        }),
    } as unknown as Pick<KubeClient, 'get' | 'create' | 'patch'>;
  }

  #write(spec: Record<string, unknown>): void {
    this.spec = spec;
    this.version++;
  }
}

function setUp() {
  const clock = new FakeClock();
  const lease = new FakeLease();
  const led: string[] = [];
  const leader = (identity: string) =>
    new Leader({
      ...{ client: lease.client, lease: LEASE, identity, clock, log: LOG },
      onLeading: () => led.push(identity),
    });
  const [a, b] = [leader('a'), leader('b')];
  const settle = async () => {
    for (let i = 0; i < 20; i++) await Promise.resolve();
  };
  const pass = async (seconds: number) => {
    for (let i = 0; i < seconds; i++) {
      clock.advance(1000);
      await settle();
    }
  };
  return { clock, lease, led, a, b, settle, pass };
}

test('one of two controllers leads, and goes on leading', async () => {
  const { a, b, led, lease, settle, pass } = setUp();
  a.start();
  await settle();
  b.start();
  await pass(60);
  assert.deepEqual([a.isLeading, b.isLeading], [true, false]);
  assert.deepEqual(led, ['a']);
  assert.equal(lease.spec!.holderIdentity, 'a');
});

test('of two that begin at the same time one leads', async () => {
  const { a, b, led, pass } = setUp();
  a.start();
  b.start();
  await pass(10);
  assert.equal(Number(a.isLeading) + Number(b.isLeading), 1);
  assert.equal(led.length, 1);
});

test('a Lease that its holder does not renew goes to the other one, never to both', async () => {
  const { clock, lease, led, b, settle, pass } = setUp();
  lease.spec = { holderIdentity: 'dead' };
  b.start();
  await settle();
  await pass(9);
  assert.equal(b.isLeading, false);
  await pass(6);
  assert.equal(b.isLeading, true);
  assert.deepEqual(led, ['b']);
  assert.equal(lease.spec!.leaseTransitions, 1);
  assert.ok(clock.monotonicMs() <= 15_000);
});

test('a holder that does not reach the server stops before another one begins', async () => {
  const { a, lease, settle, pass } = setUp();
  a.start();
  await settle();
  lease.isAway = true;
  await pass(8);
  assert.equal(a.isLeading, false);
  lease.isAway = false;
  await pass(4);
  assert.equal(a.isLeading, true);
});

test('a controller that ends gives the Lease back at once', async () => {
  const { a, b, settle, pass } = setUp();
  a.start();
  await settle();
  b.start();
  await settle();
  await a.stop();
  await pass(4);
  assert.deepEqual([a.isLeading, b.isLeading], [false, true]);
});

test('only a status that differs is written', () => {
  const ip = '198.51.100.254';
  const status = (address: string) => ({
    status: { loadBalancer: { ingress: [{ ip: address }] } },
  });
  const known = new Map<string, object>([
    ['default/right', status(ip)],
    ['default/old', status('198.51.100.253')],
    ['default/new', {}],
  ]);
  const keys = [...known.keys(), 'default/gone'];
  const changes = statusChanges(keys, [{ ip }], (key) => known.get(key) as never);
  assert.deepEqual(
    changes.map(({ key }) => key),
    ['default/old', 'default/new'],
  );
});
