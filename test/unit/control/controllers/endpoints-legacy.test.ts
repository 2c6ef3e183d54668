import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { pod, ready, service, startWorld } from './world.ts';

let world: ReturnType<typeof startWorld>;
beforeEach(() => {
  world = startWorld();
});
afterEach(() => world.controllers.stop());

function run(name: string, ip: string, isReady = true): void {
  world.create('Pod', pod(name));
  world.patchStatus('Pod', name, ready(isReady, { phase: 'Running', podIP: ip }));
}

interface Subset {
  addresses?: { ip: string; targetRef?: { name: string } }[];
  notReadyAddresses?: { ip: string }[];
  ports?: object[];
}

async function subsets(): Promise<Subset[]> {
  await world.idle();
  return (world.get('Endpoints', 'web')?.subsets ?? []) as Subset[];
}

test('a Service with a selector has Endpoints with its ready and its unready pods', async () => {
  world.create('Service', service('web', {}, { labels: { team: 'x' } }));
  run('b', '10.1.0.2');
  run('a', '10.1.0.1');
  run('c', '10.1.0.3', false);
  const [subset, ...more] = await subsets();
  assert.equal(more.length, 0);
  assert.deepEqual(
    subset?.addresses?.map(({ ip, targetRef }) => [ip, targetRef?.name]),
    [
      ['10.1.0.1', 'a'],
      ['10.1.0.2', 'b'],
    ],
  );
  assert.deepEqual(
    subset?.notReadyAddresses?.map(({ ip }) => ip),
    ['10.1.0.3'],
  );
  assert.deepEqual(subset?.ports, [{ name: '', port: 8080, protocol: 'TCP' }]);
  assert.equal(world.get('Endpoints', 'web')?.metadata.labels?.team, 'x');
});

test('Endpoints follow their pods, undo changes, and are deleted with the Service', async () => {
  world.create('Service', service('web'));
  run('a', '10.1.0.1');
  await subsets();
  world.remove('Pod', 'a');
  assert.deepEqual(await subsets(), []);
  run('b', '10.1.0.2');
  await subsets();
  world.patch('Endpoints', 'web', { subsets: [] });
  assert.equal((await subsets())[0]?.addresses?.[0]?.ip, '10.1.0.2');
  world.remove('Service', 'web');
  await world.idle();
  assert.equal(world.get('Endpoints', 'web'), undefined);
});

test('Endpoints of a Service without a selector stay unchanged', async () => {
  world.create('Service', service('web', { selector: undefined }));
  const given = [{ addresses: [{ ip: '192.0.2.1' }], ports: [{ port: 1, protocol: 'TCP' }] }];
  world.create('Endpoints', { metadata: { name: 'web' }, subsets: given });
  assert.deepEqual(await subsets(), given);
});
