import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KubeStatusError } from '../../../../control/kube/error.ts';
import { keepLease, type LeaseOptions } from '../../../../control/sync/lease.ts';
import { FakeClock } from '../../../support/clock.ts';

interface Written {
  verb: 'create' | 'patch';
  spec: Record<string, unknown>;
}

/** A server that has no Lease at first, and fails while `isDown`. */
function startKeeper(isReady: () => boolean = () => true) {
  const clock = new FakeClock();
  const written: Written[] = [];
  const warnings: string[] = [];
  const server = { isDown: false, hasLease: false };
  const write = (verb: Written['verb'], body: unknown) => {
    if (server.isDown) throw new KubeStatusError(503, {}, verb);
    if (verb === 'patch' && !server.hasLease) throw new KubeStatusError(404, {}, verb);
    server.hasLease = true;
    written.push({ verb, spec: (body as { spec: Written['spec'] }).spec });
  };
  const client = {
    create: async (_kind: string, object: object) => write('create', object),
    patch: async (_kind: string, name: object, patch: object) => {
      assert.deepEqual(name, { namespace: 'kube-node-lease', name: 'node1' });
      write('patch', patch);
    },
  } as unknown as LeaseOptions['client'];
  const log = {
    info() {},
    error() {},
    warn: (_about: object, text: string) => warnings.push(text),
  };
  const stop = keepLease({ client, node: 'node1', isReady, clock, log });
  const advance = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 100) {
      clock.advance(100);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { clock, written, warnings, server, stop, advance };
}

test('creates a Lease once and renews it every five seconds', async () => {
  const { written, advance, stop } = startKeeper();
  await advance(15_500);
  stop();
  assert.deepEqual(
    written.map(({ verb }) => verb),
    ['create', 'patch', 'patch', 'patch'],
  );
  const [made, renewed] = written;
  assert.match(String(made!.spec.renewTime), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  assert.equal(made!.spec.acquireTime, made!.spec.renewTime);
  assert.equal(made!.spec.holderIdentity, 'node1');
  assert.equal(made!.spec.leaseDurationSeconds, 20);
  assert.equal('acquireTime' in renewed!.spec, false);
});

test('renews no Lease while the datapath has no tables', async () => {
  let isReady = false;
  const { written, advance, stop } = startKeeper(() => isReady);
  await advance(10_000);
  assert.equal(written.length, 0);
  isReady = true;
  await advance(200);
  stop();
  assert.equal(written.length, 1);
});

test('reports an absent server once, and renews the Lease when it is back', async () => {
  const { written, warnings, server, advance, stop } = startKeeper();
  await advance(100);
  server.isDown = true;
  await advance(20_000);
  assert.deepEqual(warnings, ['the lease of the node is not renewed']);
  server.isDown = false;
  await advance(5000);
  stop();
  assert.equal(written.length, 2);
});

test('leaves no timer after a stop', async () => {
  const { clock, advance, stop } = startKeeper();
  await advance(100);
  stop();
  assert.equal(clock.waiting, 0);
});
