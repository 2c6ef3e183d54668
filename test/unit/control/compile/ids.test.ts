import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IdAllocator } from '../../../../control/compile/ids.ts';
import { PROTO_TCP, PROTO_UDP } from '../../../../datapath/wire/ipv4.ts';

import { node, service } from '../model/objects.ts';
import { World } from './world.ts';

function allocator(survivors: [number, string][] = [], max = 100) {
  const flows = new Map<number, number>();
  const state = { acknowledged: 0 };
  const ids = new IdAllocator(
    new Map(survivors.map(([id, name]) => [id, { name }])),
    { flowsOf: (id) => flows.get(id) ?? 0, acknowledged: () => state.acknowledged },
    max,
  );
  return { ids, flows, state };
}

test('ids start at 1 and stay with their Service port, separately for each protocol', () => {
  const { ids } = allocator();
  assert.equal(ids.idOf('ns/a:80', PROTO_TCP), 1);
  assert.equal(ids.idOf('ns/a:80', PROTO_UDP), 2);
  assert.equal(ids.idOf('ns/a:80', PROTO_TCP), 1);
});

test('reuses an id only when no flow refers to it and the worker has left its image', () => {
  const { ids, flows, state } = allocator();
  ids.idOf('ns/a:80', PROTO_TCP);
  flows.set(1, 1);
  assert.equal(ids.release('ns/a:80', PROTO_TCP, 5), 1);
  assert.equal(ids.idOf('ns/b:80', PROTO_TCP), 2, 'a flow names 1');
  flows.delete(1);
  state.acknowledged = 4;
  assert.equal(ids.idOf('ns/c:80', PROTO_TCP), 3, 'generation 5 is not in force yet');
  state.acknowledged = 5;
  assert.equal(ids.idOf('ns/d:80', PROTO_TCP), 1);
});

test('a Service recreated while a flow refers to its old id gets another one', () => {
  const { ids, flows, state } = allocator();
  ids.idOf('ns/a:80', PROTO_TCP);
  ids.release('ns/a:80', PROTO_TCP, 1);
  state.acknowledged = 1;
  flows.set(1, 3);
  assert.equal(ids.idOf('ns/a:80', PROTO_TCP), 2);
});

test('after a restart names keep their ids, and ids of deleted ones wait for their flows', () => {
  const { ids, flows } = allocator([
    [2, 'ns/a:80'],
    [4, 'ns/gone:80'],
  ]);
  flows.set(1, 1);
  flows.set(3, 1);
  flows.set(4, 1);
  assert.equal(ids.idOf('ns/new:80', PROTO_TCP), 5);
  assert.equal(ids.idOf('ns/a:80', PROTO_TCP), 2);
  ids.retireSurvivors();
  assert.equal(
    ids.idOf('ns/gone:80', PROTO_TCP),
    6,
    'a retired id: a new object may have the same name',
  );
  flows.delete(4);
  assert.equal(ids.idOf('ns/other:80', PROTO_TCP), 4);
});

test('without fresh ids every retired one is considered, then the result is null', () => {
  const { ids, flows } = allocator([], 12);
  for (let i = 0; i < 12; i++) ids.idOf(`ns/s${i}:80`, PROTO_TCP);
  for (let i = 0; i < 12; i++) {
    ids.release(`ns/s${i}:80`, PROTO_TCP, 0);
    if (i !== 11) flows.set(i + 1, 1);
  }
  assert.equal(ids.idOf('ns/x:80', PROTO_TCP), 12);
  assert.equal(ids.idOf('ns/y:80', PROTO_TCP), null);
});

test('a restarted agent assigns the same ids, so that flows keep their names', () => {
  const before = new World();
  before.put({ node: node('n1', '172.18.0.11') });
  for (const name of ['a', 'b', 'c', 'd']) before.put({ service: service(name) });
  before.publish();
  before.deleteService('b');
  before.publish();
  const ids = new Map([...before.mirror.services].map(([id, s]) => [id, { name: s.name }]));
  const after = new World('n1', ids);
  after.put({ node: node('n1', '172.18.0.11') });
  for (const name of ['new', 'd', 'c', 'a']) after.put({ service: service(name) });
  after.flows.set(2, 1); // Service b's.
  after.publish();
  const named = [...after.mirror.services].map(([id, s]) => `${id} ${s.name}`).sort();
  assert.deepEqual(named, ['1 ns/a:80', '3 ns/c:80', '4 ns/d:80', '5 ns/new:80']);
});

test('a restart does not free the id of a deleted Service while a flow refers to it', () => {
  const flows = new Map([[7, 1]]);
  const usage = { flowsOf: (id: number) => flows.get(id) ?? 0, acknowledged: () => 0 };
  const ids = new IdAllocator(new Map([[3, { name: 'ns/a:80' }]]), usage, 100);
  ids.retireSurvivors();
  const given = Array.from({ length: 20 }, (_, n) => ids.idOf(`ns/new${n}:80`, PROTO_TCP));
  assert.ok(!given.includes(7), given.join());
  flows.delete(7);
  const later = Array.from({ length: 20 }, (_, n) => ids.idOf(`ns/later${n}:80`, PROTO_TCP));
  assert.ok(later.includes(7), later.join());
});
