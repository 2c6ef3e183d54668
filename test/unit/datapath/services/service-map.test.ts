import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createArena } from '../../../../datapath/arena/arena.ts';
import { H_IMAGE_ACK } from '../../../../datapath/arena/layout.ts';
import { readGeneration, readServiceName } from '../../../../datapath/image/reader.ts';
import { ImageWriter } from '../../../../datapath/image/writer.ts';
import { ServiceMap } from '../../../../datapath/services/service-map.ts';
import { parseRange } from '../../../../datapath/wire/address.ts';
import { addr, change, NODE, NODE_ENTRY, pairs, service } from '../../../support/datapath.ts';

function world(node: Partial<typeof NODE_ENTRY> = {}, upsert = [service(1)]) {
  const arena = createArena({ flowsMax: 16, imageWords: 1 << 16 }, 1);
  const writer = new ImageWriter(arena);
  const map = new ServiceMap(arena);
  const publish = () => writer.publish(change({ node: { ...NODE_ENTRY, ...node }, upsert }));
  return { arena, writer, map, publish };
}

test('no image is in force before the first publish, and only a refresh switches images', () => {
  const { arena, map, publish } = world();
  map.refresh();
  assert.deepEqual([map.ready, map.generation, readGeneration(arena)], [false, 0, 0]);
  assert.equal(readServiceName(arena, 1), null);
  publish();
  assert.deepEqual([map.ready, readGeneration(arena)], [false, 1]);
  map.refresh();
  assert.deepEqual([map.ready, map.generation, arena.header[H_IMAGE_ACK]], [true, 1, 1]);
  assert.deepEqual(
    [map.nodeAddress, map.snatPortMin, map.snatPortCount],
    [addr(NODE), 40_000, 25_535],
  );
});

test('ranges contain the addresses of their masks, also above 128.0.0.0', () => {
  const podRanges = ['10.244.1.0/24', '200.1.2.3/32', '192.0.0.0/3'].map(
    (text) => parseRange(text)!,
  );
  const { map, publish } = world({ podRanges, serviceRange: parseRange('240.0.0.0/4')! });
  publish();
  map.refresh();
  const inPods = ['10.244.1.0', '10.244.1.255', '200.1.2.3', '192.0.0.0', '223.255.255.255'];
  for (const text of inPods) assert.ok(map.inPodRange(addr(text)), text);
  for (const text of ['10.244.0.255', '10.244.2.0', '191.255.255.255', '224.0.0.0', '0.0.0.0']) {
    assert.ok(!map.inPodRange(addr(text)), text);
  }
  assert.ok(map.inServiceRange(addr('255.255.255.255')));
  assert.ok(!map.inServiceRange(addr('239.255.255.255')));
});

test('a range of all addresses contains every address; without pod ranges there is none', () => {
  const everything = world({ podRanges: [parseRange('0.0.0.0/0')!] });
  everything.publish();
  everything.map.refresh();
  for (const text of ['0.0.0.0', '127.255.255.255', '128.0.0.0', '255.255.255.255']) {
    assert.ok(everything.map.inPodRange(addr(text)));
  }
  const nothing = world({ podRanges: [] });
  nothing.publish();
  nothing.map.refresh();
  assert.ok(!nothing.map.inPodRange(addr('10.244.1.1')));
});

test('an id that is in no image has no Service, whatever its value', () => {
  const { arena, map, publish } = world();
  publish();
  map.refresh();
  assert.notEqual(map.serviceAt(1), 0);
  for (const id of [0, -1, 2, 1023, 1024, 131_071, 0x7fff_ffff, -0x8000_0000]) {
    assert.equal(map.serviceAt(id), 0, `${id}`);
    assert.equal(readServiceName(arena, id), null, `${id}`);
  }
});

test('the highest id grows the directory, and names are read back unchanged', () => {
  const name = 'namespace-ä/ServiceWith日本:8080';
  const { arena, map, publish } = world({}, [service(1), service(131_071, { name })]);
  const larger = createArena({ flowsMax: 16, imageWords: 1 << 20 }, 1);
  new ImageWriter(larger).publish(
    change({ node: NODE_ENTRY, upsert: [service(131_071, { name })] }),
  );
  assert.equal(readServiceName(larger, 131_071), name);
  // A small image has no room for the directory of that id: publish throws, the last image stays.
  assert.throws(publish, { code: 'KT_IMAGE_FULL' });
  map.refresh();
  assert.deepEqual([map.ready, readGeneration(arena)], [false, 0]);
});

test('the first publish must have a node', () => {
  const { writer } = world();
  assert.throws(() => writer.publish(change({ upsert: [service(1)] })), RangeError);
});

test('a Service port serves its eligible and its serving endpoints, and keeps its name', () => {
  const lists = {
    cluster: pairs('10.244.1.1:53'),
    local: pairs('10.244.1.2:53'),
    serving: pairs('10.244.1.3:53', '10.244.1.4:53'),
    sourceRanges: Int32Array.of(addr('10.244.1.5'), -1),
  };
  const { arena, map, publish } = world({}, [service(1, lists), service(2)]);
  publish();
  map.refresh();
  const served = [1, 2, 3, 4, 5].filter((n) => map.serves(1, addr(`10.244.1.${n}`), 53));
  assert.deepEqual(served, [1, 2, 3, 4]);
  assert.equal(map.serves(1, addr('10.244.1.1'), 54), false);
  assert.equal(map.serves(3, addr('10.244.1.1'), 53), false);
  assert.equal(readServiceName(arena, 1), 'default/web1:80');
});
