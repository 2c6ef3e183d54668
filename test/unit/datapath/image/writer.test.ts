import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createArena } from '../../../../datapath/arena/arena.ts';
import type { FrontendEntry, ImageChange, ServiceEntry } from '../../../../datapath/image/image.ts';
import {
  SERVICE_CLUSTER_COUNT,
  SERVICE_HEADER_WORDS,
  SLOT_SERVICE,
} from '../../../../datapath/image/layout.ts';
import { ImageWriter } from '../../../../datapath/image/writer.ts';
import { POLICY_COUNTERS } from '../../../../datapath/policy/layout.ts';
import { NO_SLOT, ServiceMap } from '../../../../datapath/services/service-map.ts';
import { change, frontend, NODE_ENTRY, pairs, service } from '../../../support/datapath.ts';

const SERVICES = 12;

function world(imageWords = 1 << 16) {
  const arena = createArena({ flowsMax: 16, imageWords }, 1);
  return { arena, writer: new ImageWriter(arena), map: new ServiceMap(arena) };
}

const own = (id: number): FrontendEntry => frontend(`10.96.0.${id}:80`, id);
const withEndpoints = (id: number, count: number): ServiceEntry =>
  service(id, {
    cluster: pairs(...Array.from({ length: count }, (_, i) => `10.244.${id}.${i + 2}:8080`)),
  });

/** Every Service as the hot path sees it: its endpoints, or null. */
function seen(map: ServiceMap): (number | null)[] {
  map.refresh();
  return Array.from({ length: SERVICES }, (_, i) => {
    const f = own(i + 1);
    const slot = map.findFrontend(f.address, (f.port << 8) | f.proto);
    if (slot === NO_SLOT) return null;
    const at = map.serviceAt(map.words[slot + SLOT_SERVICE]!);
    const count = map.words[at + SERVICE_CLUSTER_COUNT]!;
    const last = map.words[at + SERVICE_HEADER_WORDS + (count - 1) * 2];
    return count === 0 ? 0 : count * 1000 + (last! & 255);
  });
}

test('single changes have the same result as one publish of everything', () => {
  const step = fc.tuple(fc.integer({ min: 1, max: SERVICES }), fc.integer({ min: -1, max: 9 }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      // Small, so that it is rewritten into the other half sometimes.
      const { writer, map } = world(1 << 14);
      const model = new Map<number, number>();
      writer.publish(change({ node: NODE_ENTRY }));
      map.refresh();
      for (const [id, count] of steps) {
        const there = model.has(id);
        const one: ImageChange =
          count < 0
            ? change(there ? { remove: [id], removeFrontends: [own(id)] } : {})
            : change({ upsert: [withEndpoints(id, count)], addFrontends: there ? [] : [own(id)] });
        writer.publish(one);
        if (count < 0) model.delete(id);
        else model.set(id, count);
        map.refresh();
      }
      const fresh = world();
      fresh.writer.publish(
        change({
          node: NODE_ENTRY,
          upsert: [...model].map(([id, count]) => withEndpoints(id, count)),
          addFrontends: [...model.keys()].map(own),
        }),
      );
      assert.deepEqual(seen(map), seen(fresh.map));
    }),
    { numRuns: 150 },
  );
});

test('an image that does not fit keeps the last one in force and does not lose its change', () => {
  const { writer, map } = world(1 << 14);
  writer.publish(
    change({ node: NODE_ENTRY, upsert: [withEndpoints(1, 3)], addFrontends: [own(1)] }),
  );
  const before = seen(map);
  const huge = service(2, { cluster: new Int32Array(8192) });
  assert.throws(() => writer.publish(change({ upsert: [huge], addFrontends: [own(2)] })), {
    code: 'KT_IMAGE_FULL',
  });
  assert.deepEqual(seen(map), before);
  writer.publish(change({ upsert: [withEndpoints(2, 1)] }));
  assert.deepEqual(seen(map)[1], 1002, 'the frontend of the failed publish is kept');
});

test('a publish does not overwrite the half that the worker still reads', () => {
  const { writer, map } = world(1 << 14);
  writer.publish(
    change({ node: NODE_ENTRY, upsert: [withEndpoints(1, 3)], addFrontends: [own(1)] }),
  );
  map.refresh();
  const publishMany = () => {
    for (let i = 0; i < 200; i++)
      writer.publish(change({ upsert: [withEndpoints(1, 1 + (i % 9))] }));
  };
  assert.throws(publishMany, { code: 'KT_IMAGE_BUSY' });
  map.refresh();
  writer.publish(change({ upsert: [withEndpoints(1, 2)] }));
  assert.equal(seen(map)[0], 2003);
});

test('a postponed change is not lost when the next one is small enough to publish at once', () => {
  const { writer, map } = world(1 << 14);
  writer.publish(change({ node: NODE_ENTRY, addFrontends: [own(1), own(2)] }));
  map.refresh();
  const putOff = (id: number) => {
    for (let i = 0; i < 200; i++)
      writer.publish(change({ upsert: [withEndpoints(id, 1 + (i % 9))] }));
  };
  assert.throws(() => putOff(1), { code: 'KT_IMAGE_BUSY' });
  assert.throws(() => writer.publish(change({ upsert: [withEndpoints(2, 7)] })), {
    code: 'KT_IMAGE_BUSY',
  });
  // There is room for a root only. The writer must not take it for the whole image.
  assert.throws(() => writer.publish(change()), { code: 'KT_IMAGE_BUSY' });
  map.refresh();
  writer.publish(change());
  assert.equal(seen(map)[1], 7008);
});

test('a new writer knows the names that its predecessor published', () => {
  const { arena, writer } = world();
  writer.publish(change({ node: NODE_ENTRY, upsert: [service(7, { name: 'default/old:80' })] }));
  const next = new ImageWriter(arena);
  assert.deepEqual(
    [...next.services()].map(([id, { name }]) => [id, name]),
    [[7, 'default/old:80']],
  );
  assert.equal(next.generation, writer.generation);
});

test("a policy's counters survive agents, and start at zero for the next policy of its id", () => {
  const { arena, writer } = world();
  const row = 3 * POLICY_COUNTERS;
  const none = { subjects: [], pairs: [], portSets: [], prefixes: [] };
  const policies = (...names: string[]): Partial<ImageChange> => ({
    policy: {
      ...{ generation: 1, active: names.length > 0, pods: [] },
      rules: { ...none, names: names.map((name, i) => ({ id: 3 + i, name })) },
    },
  });
  arena.policies[row] = 99;
  writer.publish(change({ node: NODE_ENTRY, ...policies('shop/a') }));
  assert.equal(arena.policies[row], 0, 'a stale count is cleared');
  arena.policies[row] = 5;
  writer.publish(change(policies('shop/a', 'shop/b')));
  const next = new ImageWriter(arena);
  next.publish(change({ node: NODE_ENTRY, ...policies('shop/a') }));
  assert.equal(arena.policies[row], 5);
  next.publish(change(policies()));
  next.publish(change(policies('shop/a')));
  assert.equal(arena.policies[row], 0, 'a recreated policy starts at zero');
});
