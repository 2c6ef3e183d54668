// Compares the image as the hot path reads it with plain maps: under random changes, with a late
// reader, failed publishes, and writers that die and are replaced.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createArena } from '../../datapath/arena/arena.ts';
import {
  FRONTEND_CLUSTER,
  FRONTEND_NODEPORT,
  type FrontendEntry,
  type ImageChange,
} from '../../datapath/image/image.ts';
import {
  MARK_ALLOCATED,
  MARK_NODE,
  SERVICE_CLUSTER_COUNT,
  SERVICE_HEADER_WORDS,
  SERVICE_ID,
  SLOT_KIND,
  SLOT_SERVICE,
} from '../../datapath/image/layout.ts';
import { ImageWriter } from '../../datapath/image/writer.ts';
import { NO_SLOT, ServiceMap } from '../../datapath/services/service-map.ts';
import { PROTO_TCP } from '../../datapath/wire/ipv4.ts';
import { addr, change, NODE, NODE_ENTRY, OTHER_NODE, service } from '../support/datapath.ts';

const IDS = 6;
const ADDRESSES = ['10.96.0.1', '10.96.0.2', NODE, OTHER_NODE, '198.51.100.1'];
const PORTS = [80, 443];

/** The cluster as plain maps. */
interface Model {
  services: Map<number, number[]>;
  frontends: Map<string, FrontendEntry>;
  nodes: string[];
}

const keyOf = (f: FrontendEntry) => `${f.address} ${f.port}`;
const copyOf = (m: Model): Model => ({
  services: new Map(m.services),
  frontends: new Map(m.frontends),
  nodes: m.nodes,
});

type Step =
  | { do: 'upsert'; id: number; endpoints: number }
  | { do: 'remove'; id: number }
  | { do: 'frontend'; address: number; port: number; id: number; kind: number }
  | { do: 'unfront'; address: number; port: number }
  | { do: 'nodes'; count: number }
  | { do: 'refresh' };

const id = fc.integer({ min: 1, max: IDS });
const address = fc.nat(ADDRESSES.length - 1);
const port = fc.nat(PORTS.length - 1);
const kind = fc.constantFrom(FRONTEND_CLUSTER, FRONTEND_NODEPORT);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('upsert' as const), id, endpoints: fc.nat(40) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('remove' as const), id }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('frontend' as const), address, port, id, kind }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('unfront' as const), address, port }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('nodes' as const),
      count: fc.integer({ min: 1, max: 2 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('refresh' as const) }) },
);

const entry = (one: number, endpoints: number[]) =>
  service(one, { cluster: Int32Array.from(endpoints.flatMap((e) => [e, 8080])) });

/** Applies a step to the model and returns the change for a writer. */
function apply(m: Model, s: Step, n: number): ImageChange {
  if (s.do === 'upsert') {
    const endpoints = Array.from({ length: s.endpoints }, (_, i) => n * 1000 + i);
    m.services.set(s.id, endpoints);
    return change({ upsert: [entry(s.id, endpoints)] });
  }
  if (s.do === 'remove') {
    const there = m.services.delete(s.id);
    return change({ remove: there ? [s.id] : [] });
  }
  if (s.do === 'nodes') {
    m.nodes = [NODE, OTHER_NODE].slice(0, s.count);
    return change({ node: { ...NODE_ENTRY, nodeAddresses: m.nodes.map(addr) } });
  }
  if (s.do === 'refresh') return change();
  const f: FrontendEntry = {
    address: addr(ADDRESSES[s.address]!),
    port: PORTS[s.port]!,
    proto: PROTO_TCP,
    kind: s.do === 'frontend' ? s.kind : FRONTEND_CLUSTER,
    serviceId: s.do === 'frontend' ? s.id : 0,
  };
  const before = m.frontends.get(keyOf(f));
  const removeFrontends = before ? [before] : [];
  if (s.do === 'unfront') {
    m.frontends.delete(keyOf(f));
    return change({ removeFrontends });
  }
  m.frontends.set(keyOf(f), f);
  return change({ removeFrontends, addFrontends: [f] });
}

/** Every lookup of the hot path must match the model. */
function assertShows(map: ServiceMap, m: Model): void {
  const { words } = map;
  const captured = new Set(
    [...m.frontends.values()].filter((f) => f.kind !== FRONTEND_NODEPORT).map((f) => f.address),
  );
  for (const text of ADDRESSES) {
    const one = addr(text);
    const mark = m.nodes.includes(text) ? MARK_NODE : captured.has(one) ? MARK_ALLOCATED : 0;
    assert.equal(map.markOf(one), mark, `mark of ${text}`);
    for (const number of PORTS) {
      const f = m.frontends.get(`${one} ${number}`);
      const slot = map.findFrontend(one, (number << 8) | PROTO_TCP);
      assert.equal(slot !== NO_SLOT, f !== undefined, `${text}:${number}`);
      if (!f) continue;
      assert.deepEqual(
        [words[slot + SLOT_SERVICE], words[slot + SLOT_KIND]],
        [f.serviceId, f.kind + 1],
      );
    }
  }
  for (let one = 1; one <= IDS; one++) {
    const endpoints = m.services.get(one);
    const at = map.serviceAt(one);
    assert.equal(at !== 0, endpoints !== undefined, `Service ${one}`);
    if (!endpoints) continue;
    assert.deepEqual(
      [words[at + SERVICE_ID], words[at + SERVICE_CLUSTER_COUNT]],
      [one, endpoints.length],
    );
    const seen = endpoints.map((_, i) => words[at + SERVICE_HEADER_WORDS + i * 2]);
    assert.deepEqual(seen, endpoints);
  }
}

const empty = (): Model => ({
  services: new Map(),
  frontends: new Map(),
  nodes: [NODE, OTHER_NODE],
});

test('a reader sees one complete generation, however late it is', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      // So small that the halves swap every few publishes.
      const arena = createArena({ flowsMax: 16, imageWords: 24_576 }, 1);
      const writer = new ImageWriter(arena);
      const map = new ServiceMap(arena);
      const m = empty();
      // Generation -> its content. A reader must see exactly the content of its generation.
      const shows = new Map<number, Model>();
      const publish = (one: ImageChange) => {
        shows.set(writer.generation + 1, copyOf(m));
        writer.publish(one);
      };
      publish(change({ node: NODE_ENTRY }));
      map.refresh();
      // A woken worker switches to the newest image eventually.
      let woken = 0;
      writer.onPublished = () => {
        if (++woken % 7 === 0) map.refresh();
      };
      for (const [n, s] of steps.entries()) {
        if (s.do === 'refresh') map.refresh();
        else publish(apply(m, s, n));
        assertShows(map, shows.get(map.generation)!);
      }
      map.refresh();
      assert.equal(map.generation, writer.generation);
      assertShows(map, m);
    }),
    { numRuns: 150 },
  );
});

test('a failed publish keeps the last image, and the next one has its changes', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(step, fc.nat(4)), { maxLength: 50 }), (steps) => {
      const arena = createArena({ flowsMax: 16, imageWords: 24_576 }, 1);
      const writer = new ImageWriter(arena);
      const map = new ServiceMap(arena);
      const m = empty();
      writer.publish(change({ node: NODE_ENTRY }));
      map.refresh();
      let latest = copyOf(m);
      for (const [n, [s, luck]] of steps.entries()) {
        const one = apply(m, s, n);
        // Sometimes adds a Service that does not fit, and removes it with the next change.
        const tooMuch = luck === 0;
        if (tooMuch) {
          one.upsert.push(service(IDS + 1, { cluster: new Int32Array(20_000) }));
          assert.throws(() => writer.publish(one), { code: 'KT_IMAGE_FULL' });
          assertShows(map, latest);
          writer.publish(change({ remove: [IDS + 1] }));
        } else {
          writer.publish(one);
        }
        latest = copyOf(m);
        map.refresh();
        assertShows(map, latest);
      }
    }),
    { numRuns: 100 },
  );
});

test('a new writer shows only its own changes and nothing of the earlier writer', () => {
  fc.assert(
    fc.property(fc.array(fc.array(step, { maxLength: 12 }), { maxLength: 5 }), (lives) => {
      const arena = createArena({ flowsMax: 16, imageWords: 24_576 }, 1);
      const map = new ServiceMap(arena);
      let generation = 0;
      for (const [life, steps] of lives.entries()) {
        const before = map.ready ? [...new ImageWriter(arena).services().keys()].sort() : [];
        const writer = new ImageWriter(arena);
        assert.equal(writer.generation, generation);
        assert.deepEqual([...writer.services().keys()].sort(), before);
        const m = empty();
        writer.publish(change({ node: NODE_ENTRY }));
        for (const [n, s] of steps.entries()) {
          map.refresh();
          writer.publish(apply(m, s, life * 100 + n));
        }
        map.refresh();
        assertShows(map, m);
        generation = writer.generation;
        assert.equal(map.generation, generation);
      }
    }),
    { numRuns: 100 },
  );
});
