import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventsOf, service, startWorld, type World } from './world.ts';

// The world's public range is 198.51.100.0/29: hosts .1 to .6.

const balancer = (name: string, spec: object = {}) =>
  service(name, { type: 'LoadBalancer', ...spec });

function addressOf(world: World, name: string): string | undefined {
  return world.get('Service', name)!.status.loadBalancer?.ingress?.[0]?.ip;
}

test('addresses come from the top of the range, are unique and stay', async () => {
  const world = startWorld();
  world.create('Service', balancer('a'));
  world.create('Service', balancer('b'));
  world.create('Service', service('plain'));
  await world.idle();
  assert.deepEqual(world.get('Service', 'a')!.status.loadBalancer, {
    ingress: [{ ip: '198.51.100.6', ipMode: 'VIP' }],
  });
  assert.equal(addressOf(world, 'b'), '198.51.100.5');
  assert.equal(addressOf(world, 'plain'), undefined);
  world.patch('Service', 'a', { metadata: { labels: { x: 'y' } } });
  await world.idle();
  assert.equal(addressOf(world, 'a'), '198.51.100.6');
});

test("no load balancer gets a node's public address", async () => {
  const world = startWorld(({ create }) => {
    const addresses = [{ type: 'ExternalIP', address: '198.51.100.6' }];
    create('Node', { metadata: { name: 'node1' }, status: { addresses } });
  });
  world.patchStatus('Node', 'node1', {
    addresses: [{ type: 'ExternalIP', address: '198.51.100.6' }],
  });
  world.create('Service', balancer('a'));
  world.create('Service', balancer('b', { loadBalancerIP: '198.51.100.6' }));
  await world.idle();
  assert.equal(addressOf(world, 'a'), '198.51.100.5');
  assert.equal(addressOf(world, 'b'), undefined);
});

test('loadBalancerIP is used if it is free and in the range, else an event has the reason', async () => {
  const world = startWorld();
  world.create('Service', balancer('a', { loadBalancerIP: '198.51.100.2' }));
  world.create('Service', balancer('taken', { loadBalancerIP: '198.51.100.2' }));
  world.create('Service', balancer('far', { loadBalancerIP: '192.0.2.1' }));
  await world.idle();
  assert.deepEqual(
    ['a', 'taken', 'far'].map((name) => addressOf(world, name)),
    ['198.51.100.2', undefined, undefined],
  );
  assert.match(eventsOf(world, 'taken')[0]![1], /198\.51\.100\.2 is that of default\/a/);
  assert.match(eventsOf(world, 'far')[0]![1], /not in the public range/);
  world.remove('Service', 'a');
  await world.idle();
  assert.equal(
    addressOf(world, 'taken'),
    '198.51.100.2',
    'the waiting Service gets the released address',
  );
});

test('a full range has an event, and a waiting Service gets a released address', async () => {
  const world = startWorld();
  for (let n = 0; n < 7; n++) world.create('Service', balancer(`s${n}`));
  await world.idle();
  assert.equal(addressOf(world, 's6'), undefined);
  assert.deepEqual(eventsOf(world, 's6'), [
    [
      'SyncLoadBalancerFailed',
      'Error syncing load balancer: every address of the public range is taken',
    ],
  ]);
  world.patch('Service', 's0', { spec: { type: 'ClusterIP' } });
  await world.idle();
  assert.equal(addressOf(world, 's0'), undefined, 'a change of the type releases the address');
  assert.equal(addressOf(world, 's6'), '198.51.100.6');
});

test('a load balancer with a class is ignored, whatever its status', async () => {
  const world = startWorld();
  world.create('Service', balancer('theirs', { loadBalancerClass: 'example.com/lb' }));
  const ingress = [{ ip: '198.51.100.6' }];
  world.patchStatus('Service', 'theirs', { loadBalancer: { ingress } });
  await world.idle();
  assert.equal(addressOf(world, 'theirs'), '198.51.100.6');
});

test('a restarted server assigns no address twice', async () => {
  const world = startWorld(({ create, patchStatus }) => {
    create('Service', balancer('new'));
    create('Service', balancer('old'));
    patchStatus('Service', 'old', { loadBalancer: { ingress: [{ ip: '198.51.100.6' }] } });
  });
  await world.idle();
  assert.deepEqual(
    ['old', 'new'].map((name) => addressOf(world, name)),
    ['198.51.100.6', '198.51.100.5'],
  );
});
