import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createArena } from '../../../../datapath/arena/arena.ts';
import { H_NOW } from '../../../../datapath/arena/layout.ts';
import { FRONTEND_CLUSTER } from '../../../../datapath/image/image.ts';
import { Prober } from '../../../../datapath/observe/probe.ts';
import { AffinityTable, NO_ENTRY } from '../../../../datapath/services/affinity.ts';
import { PROTO_SCTP, PROTO_TCP, PROTO_UDP } from '../../../../datapath/wire/ipv4.ts';
import {
  addr,
  change,
  createTestDatapath,
  DEFAULT_IMAGE,
  frontend,
  POD,
  pairs,
  service,
  type TestDatapath,
  VIP,
} from '../../../support/datapath.ts';
import { ip4, SYN, tcp4, udp4 } from '../../../support/packets.ts';

const ENDPOINTS = Array.from({ length: 8 }, (_, i) => `10.244.2.${i + 10}:8080`);
const TIMEOUT_S = 60;

const sticky = (endpoints = ENDPOINTS, affinityS = TIMEOUT_S) =>
  change({ upsert: [service(1, { affinityS, cluster: pairs(...endpoints) })] });

function createSticky(flowsMax = 1024): TestDatapath {
  const t = createTestDatapath({ flowsMax });
  t.writer.publish(sticky());
  return t;
}

let port = 1024;
/** Endpoint of a new connection of this client. */
const connect = (t: TestDatapath, client = POD) =>
  t.one(tcp4(`${client}:${port++}`, `${VIP}:80`, SYN)).packet.dst;

const connectMany = (t: TestDatapath, client = POD) =>
  new Set(Array.from({ length: 40 }, () => connect(t, client)));

test('a client keeps its endpoint, and clients get different ones', () => {
  const t = createSticky();
  const seen = new Set<string>();
  for (let n = 1; n <= 20; n++) {
    const places = connectMany(t, `10.244.1.${n}`);
    assert.equal(places.size, 1);
    seen.add([...places][0]!);
  }
  assert.ok(seen.size > 3, `${seen.size} endpoints for 20 clients`);
});

test('a Service port without affinity stores no client, and each Service port stores its own', () => {
  const t = createTestDatapath();
  t.writer.publish(change({ upsert: [service(1, { cluster: pairs(...ENDPOINTS) })] }));
  assert.ok(connectMany(t).size > 3);
  assert.equal(t.d.affinity.find(addr(POD), 1, t.now), NO_ENTRY);
  t.writer.publish(sticky());
  connect(t);
  assert.notEqual(t.d.affinity.find(addr(POD), 1, t.now), NO_ENTRY);
  assert.equal(t.d.affinity.find(addr(POD), 2, t.now), NO_ENTRY);
});

test('each Service port has its own choice for a client, over TCP, UDP and SCTP', () => {
  const sctp = (from: string, to: string) => {
    const [src, sport] = from.split(':') as [string, string];
    const [dst, dport] = to.split(':') as [string, string];
    const ports = [sport, dport].flatMap((p) => [Number(p) >> 8, Number(p) & 255]);
    return ip4(src, dst, PROTO_SCTP, [...ports, ...new Array(8).fill(0)]);
  };
  const ways = [
    [PROTO_TCP, (from: string, to: string) => tcp4(from, to, SYN)],
    [PROTO_UDP, (from: string, to: string) => udp4(from, to)],
    [PROTO_SCTP, sctp],
  ] as const;
  for (const [proto, packet] of ways) {
    const t = createTestDatapath();
    const cluster = pairs(...ENDPOINTS);
    t.writer.publish(
      change({
        upsert: [7, 8].map((id) => service(id, { proto, affinityS: TIMEOUT_S, cluster })),
        addFrontends: [7, 8].map((id) => frontend(`${VIP}:${id}`, id, FRONTEND_CLUSTER, proto)),
      }),
    );
    let differ = 0;
    for (let n = 1; n <= 20; n++) {
      const places = [7, 8].map((id) => {
        const seen = Array.from({ length: 10 }, () => {
          const to = `${VIP}:${id}`;
          return t.one(packet(`10.244.1.${n}:${port++}`, to)).packet.dst;
        });
        assert.equal(new Set(seen).size, 1);
        return seen[0];
      });
      if (places[0] !== places[1]) differ++;
    }
    // One in eight clients gets the same endpoint by chance.
    assert.ok(differ > 5, `${differ} of 20 clients have two endpoints`);
  }
});

for (const begin of [1000, 2 ** 31 - 30_000]) {
  test(`a choice expires at its timeout and not a ms earlier, from clock ${begin}`, () => {
    const t = createSticky();
    t.now = begin;
    connect(t);
    const has = (ms: number) => t.d.affinity.find(addr(POD), 1, (begin + ms) | 0) !== NO_ENTRY;
    assert.deepEqual([has(TIMEOUT_S * 1000 - 1), has(TIMEOUT_S * 1000)], [true, false]);
  });
}

test('a new connection renews the timeout; packets of an old one do not', () => {
  const t = createSticky();
  const first = connect(t);
  for (let n = 0; n < 10; n++) {
    t.now += TIMEOUT_S * 1000 - 1;
    assert.equal(connect(t), first);
  }
  const old = t.one(tcp4(`${POD}:${port - 1}`, `${VIP}:80`, SYN));
  assert.equal(old.packet.dst, first);
  const until = t.now + TIMEOUT_S * 1000;
  t.now += 5000;
  t.one(tcp4(`${POD}:${port - 1}`, `${VIP}:80`, SYN));
  assert.equal(t.d.affinity.find(addr(POD), 1, until), NO_ENTRY);
});

test('the sweep frees an entry with the longest timeout, a day, when it expires', () => {
  const t = createTestDatapath();
  t.writer.publish(sticky(ENDPOINTS, 86_400));
  connect(t);
  const { words } = t.d.affinity;
  const used = () => words.filter((word, i) => i % 8 === 0 && word !== 0).length;
  t.tick(t.now + 86_399_000);
  assert.equal(used(), 1);
  t.tick(t.now + 2000);
  assert.equal(used(), 0);
});

test('an endpoint that is no longer eligible is replaced, and the new one is kept', () => {
  const t = createSticky();
  const first = connect(t);
  t.writer.publish(sticky(ENDPOINTS.filter((endpoint) => !endpoint.startsWith(`${first}:`))));
  const places = connectMany(t);
  assert.equal(places.size, 1);
  assert.ok(!places.has(first));
  t.writer.publish(sticky());
  assert.deepEqual(connectMany(t), places, 'the old endpoint is not used again');
});

test('the next agent keeps the choices', () => {
  const t = createSticky();
  const first = connect(t);
  const again = createTestDatapath({ arena: t.d.arena, image: null, seed: 7 });
  again.now = t.now + 1000;
  assert.deepEqual(connectMany(again), new Set([first]));
});

test('without room the choice is random and counted, and other clients keep theirs', () => {
  // 32 entries: one window.
  const t = createSticky(128);
  const kept = connect(t, '10.244.1.200');
  for (let n = 1; n < 32; n++) connect(t, `10.244.1.${n}`);
  assert.equal(t.counter('affinity-full'), 0);
  assert.ok(connectMany(t, '10.244.1.99').size > 1);
  assert.equal(t.counter('affinity-full'), 40);
  assert.equal(connect(t, '10.244.1.200'), kept);
  t.now += TIMEOUT_S * 1000;
  assert.equal(connectMany(t, '10.244.1.99').size, 1, 'an expired choice makes room');
});

test('an entry that a killed writer left incomplete is not used', () => {
  const arena = createArena({ flowsMax: 128, imageWords: 1 << 12 }, 1);
  const table = new AffinityTable(arena);
  assert.ok(table.remember(5, 1, 6, 7, 1000, 60_000));
  const entry = table.find(5, 1, 1000);
  assert.equal(table.choice(entry, Int32Array.of(1, 7, 6, 7), 0, 2), 1);
  table.words[entry] = 0;
  assert.equal(table.find(5, 1, 1000), NO_ENTRY);
});

test('a probe stores no choice and shows an existing one', () => {
  const t = createTestDatapath();
  t.writer.publish(change({ ...DEFAULT_IMAGE, upsert: sticky().upsert }));
  const ask = () =>
    new Prober(t.d.arena, 3).ask({
      proto: PROTO_TCP,
      ...{ src: addr(POD), sport: port++, dst: addr(VIP), dport: 80 },
    });
  assert.equal(ask().chosenBy, 'random');
  assert.equal(t.d.affinity.find(addr(POD), 1, t.now), NO_ENTRY);
  t.tick(t.now);
  t.d.header[H_NOW] = t.now;
  const first = connect(t);
  const { chosenBy, left } = ask();
  assert.deepEqual([chosenBy, left!.dst], ['affinity', addr(first)]);
});
