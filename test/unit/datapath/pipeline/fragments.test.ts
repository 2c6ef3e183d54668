import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BACKEND,
  change,
  createTestDatapath,
  DEFAULT_IMAGE,
  frontend,
  NODE,
  OUTSIDE,
  POD,
  pairs,
  service,
  type TestDatapath,
  VIP,
} from '../../../support/datapath.ts';
import { decode, echo4, fragment4, ip4, SYN, tcp4, udp4 } from '../../../support/packets.ts';

const data = (bytes: number) => Array.from({ length: bytes }, (_, i) => i & 255);

/** A datagram in pieces of at most 1480 bytes; the last may be shorter. */
const pieces = (to: string, bytes: number, id: number, noSum = false) =>
  fragment4(udp4(`${POD}:4000`, to, data(bytes), { id, noSum }), 1480);

/** Reassembles pieces as a receiver does; returns the datagram. */
function assemble(frames: Uint8Array[]): Uint8Array {
  const sorted = frames
    .map((frame) => ({ frame, at: ((frame[16]! & 31) * 256 + frame[17]!) * 8 }))
    .sort((a, b) => a.at - b.at);
  const payload = sorted.flatMap(({ frame, at }, i) => {
    const before = sorted.slice(0, i).reduce((sum, one) => sum + one.frame.length - 30, 0);
    assert.equal(at, before, 'no gap and no overlap');
    return [...frame.subarray(30)];
  });
  const { src, dst, proto } = decode(sorted[0]!.frame);
  return ip4(src, dst, proto, payload);
}

/** Asserts that each packet is counted, and has exactly one counted result. */
function assertAccounts(t: TestDatapath, read: number, replies = 0, held = 0): void {
  const drops = ['fragment-orphan', 'fragment-limit', 'unanswerable', 'fragment-range'];
  const dropped = drops.reduce((sum, name) => sum + t.counter(name), 0);
  assert.equal(t.counter('packets'), read, 'every packet is counted once');
  assert.equal(
    t.counter('forwarded') + dropped + replies + held,
    read,
    'each packet has one result',
  );
}

const ORDERS = [
  [0, 1, 2],
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
];

for (const order of ORDERS) {
  for (const asBatch of [true, false]) {
    test(`pieces ${order.join(' ')} ${asBatch ? 'in one batch' : 'one by one'} arrive complete with the right sum`, () => {
      const t = createTestDatapath();
      const frames = order.map((i) => pieces(`${VIP}:53`, 4000, 77)[i]!);
      const outcomes = asBatch ? t.send(...frames) : frames.flatMap((frame) => t.send(frame));
      const forwarded = outcomes.filter((o) => o.verdict === 'forward');
      const held = outcomes.filter((o) => o.verdict === 'held');
      assert.equal(forwarded.length, 3);
      assert.equal(held.length, order.indexOf(0));
      const whole = decode(assemble(forwarded.map((o) => o.frame)));
      assert.deepEqual([whole.dst, whole.dport, whole.l4Ok], [BACKEND, 5353, true]);
      assert.ok(forwarded.every((o) => o.packet.ipOk && o.packet.ttl === forwarded[0]!.packet.ttl));
      assertAccounts(t, 3);
      assert.equal(t.counter('fragments'), 2);
      assert.equal(t.counter('flows-made'), 1);
    });
  }
}

test('pieces are masqueraded as the whole, and those of the reply return', () => {
  const t = createTestDatapath();
  const out = t.send(
    ...fragment4(udp4(`${POD}:4000`, `${OUTSIDE}:53`, data(3000), { id: 1 }), 1480),
  );
  const sent = decode(assemble(out.map((o) => o.frame)));
  assert.deepEqual([sent.src, sent.l4Ok], [NODE, true]);
  const answer = udp4(`${OUTSIDE}:53`, `${NODE}:${sent.sport}`, data(3000), { id: 2 });
  const back = decode(
    assemble(
      t
        .send(...fragment4(answer, 1480).reverse())
        .filter((o) => o.verdict === 'forward')
        .map((o) => o.frame),
    ),
  );
  assert.deepEqual([back.src, back.dst, back.dport, back.l4Ok], [OUTSIDE, POD, 4000, true]);
});

test('an echo request in pieces and a datagram without a checksum pass', () => {
  const t = createTestDatapath();
  const request = echo4(POD, OUTSIDE, 9);
  const long = ip4(POD, OUTSIDE, 1, [...request.subarray(30), ...data(2000)], { id: 3 });
  const frames = t.send(...fragment4(long, 800));
  assert.deepEqual(
    frames.map((o) => [o.verdict, o.packet.src]),
    frames.map(() => ['forward', NODE]),
  );
  const unsummed = decode(
    assemble(t.send(...pieces(`${VIP}:53`, 4000, 4, true)).map((o) => o.frame)),
  );
  assert.deepEqual([unsummed.dst, unsummed.l4Ok], [BACKEND, true]);
});

test('SCTP in pieces: all dropped if ports change, unchanged otherwise', () => {
  const sctp = (to: string) =>
    ip4(POD, to, 132, [0x0f, 0xa0, 0x0f, 0x1c, ...data(2000)], { id: 9 });
  const t = createTestDatapath({
    image: change({
      ...DEFAULT_IMAGE,
      upsert: [service(9, { proto: 132, cluster: pairs(`${BACKEND}:9999`) })],
      addFrontends: [frontend(`${VIP}:3868`, 9, 0, 132)],
    }),
  });
  for (const order of [false, true]) {
    const frames = fragment4(sctp(VIP), 1480);
    const sent = t.send(...(order ? frames.reverse() : frames));
    assert.deepEqual(
      sent.filter((o) => o.verdict !== 'held').map((o) => o.verdict),
      ['fragment-sctp', 'fragment-sctp'],
    );
  }
  assert.equal(t.counter('fragment-sctp'), 4);
  const direct = fragment4(sctp(BACKEND), 1480);
  for (const [i, o] of t.send(...direct).entries()) {
    assert.equal(o.verdict, 'forward');
    assert.deepEqual(o.frame.subarray(30), direct[i]!.subarray(30));
  }
});

test('two datagrams at once stay apart: by identification, protocol and source', () => {
  const t = createTestDatapath();
  const other = fragment4(udp4('10.244.1.6:1', `${BACKEND}:7`, data(2000), { id: 50 }), 1480);
  const tcp = fragment4(tcp4(`${POD}:4000`, `${VIP}:80`, SYN, data(2000), { id: 50 }), 1480);
  const udp = pieces(`${VIP}:53`, 2000, 50);
  const next = pieces(`${BACKEND}:53`, 2000, 51);
  const mixed = [other[1]!, udp[1]!, tcp[1]!, next[1]!, tcp[0]!, udp[0]!, other[0]!, next[0]!];
  const outcomes = t.send(...mixed);
  const forwarded = outcomes.filter((o) => o.verdict === 'forward');
  assert.deepEqual(
    [forwarded.length, outcomes.length],
    [8, 12],
    'four pieces were held, once each',
  );
  const key = (o: (typeof forwarded)[0]) => `${o.packet.src} ${o.packet.proto} ${o.packet.id}`;
  const groups = new Map<string, Uint8Array[]>();
  for (const o of forwarded) groups.set(key(o), [...(groups.get(key(o)) ?? []), o.frame]);
  assert.equal(groups.size, 4);
  for (const frames of groups.values()) assert.ok(decode(assemble(frames)).l4Ok);
});

test('all pieces of a dropped datagram have the same reason', () => {
  const t = createTestDatapath();
  const frames = pieces('10.96.7.7:53', 4000, 60);
  assert.deepEqual(
    t.send(frames[0]!, frames[1]!).map((o) => o.verdict),
    ['unallocated', 'unallocated'],
  );
  const early = pieces('10.96.7.7:53', 4000, 61);
  assert.deepEqual(
    t.send(early[1]!, early[2]!, early[0]!).map((o) => o.verdict),
    ['held', 'held', 'unallocated', 'unallocated', 'unallocated'],
  );
  assert.equal(t.counter('packets'), 5);
  assert.equal(t.counter('unallocated'), 5);
});

test('a refused datagram is answered once, for its first piece', () => {
  const t = createTestDatapath();
  const outcomes = t.send(...pieces(`${VIP}:999`, 4000, 62).reverse());
  assert.deepEqual(
    outcomes.map((o) => o.verdict),
    ['held', 'held', 'reply', 'unanswerable', 'unanswerable'],
  );
  assertAccounts(t, 3, 1);
});

test('a piece whose flow is gone becomes an orphan and follows no other flow', () => {
  const t = createTestDatapath({ flowsMax: 16 });
  const [first, second] = pieces(`${VIP}:53`, 2000, 70);
  t.one(first!);
  t.d.table.remove(0);
  assert.equal(t.one(second!).verdict, 'held');
  t.one(udp4('10.244.1.9:1', `${VIP}:53`)); // Reuses the number of the flow.
  assert.equal(t.one(second!).verdict, 'held');
  t.d.table.remove(0);
  t.one(udp4(`${POD}:4001`, `${VIP}:53`)); // Reuses it with the same addresses.
  assert.equal(t.one(second!).verdict, 'held');
  t.tick(t.now + 1000);
  assert.equal(t.counter('fragment-orphan'), 3);
});

test('an early piece waits for its first one if the flow of an earlier datagram is gone', () => {
  for (const isReplaced of [false, true]) {
    const t = createTestDatapath({ flowsMax: 16 });
    t.send(...pieces(`${VIP}:53`, 2000, 72));
    t.d.table.remove(0);
    if (isReplaced) t.one(udp4(`${POD}:4001`, `${BACKEND}:53`));
    const outcomes = t.send(...pieces(`${VIP}:53`, 2000, 72).reverse());
    const forwarded = outcomes.filter((o) => o.verdict === 'forward');
    const whole = decode(assemble(forwarded.map((o) => o.frame)));
    assert.deepEqual([whole.dst, whole.dport, whole.l4Ok], [BACKEND, 5353, true]);
  }
});

test('a verdict never applies to another datagram, whatever its identification', () => {
  const t = createTestDatapath();
  t.one(pieces(`${VIP}:53`, 2000, 4711)[0]!);
  for (let id = 0; id < 65_536; id++) {
    if (id === 4711) continue;
    const { verdict } = t.one(ip4(POD, VIP, 17, [1, 2, 3, 4, 5, 6, 7, 8], { id, fragment: 10 }));
    assert.ok(verdict === 'held' || verdict === 'fragment-limit', `${id}: ${verdict}`);
  }
});

test("a datagram's verdict expires after 30 s", () => {
  const t = createTestDatapath();
  const [first, second] = pieces(`${VIP}:53`, 2000, 71);
  t.one(first!);
  t.now += 30_000;
  assert.equal(t.one(second!).verdict, 'forward');
  t.now += 1;
  assert.equal(t.one(second!).verdict, 'held');
});

test('early pieces follow their first one, with any number of datagrams between', () => {
  const t = createTestDatapath();
  const small = (id: number) =>
    fragment4(udp4(`${POD}:4000`, `${VIP}:53`, data(24), { id }), 16) as [Uint8Array, Uint8Array];
  for (let round = 0; round < 20; round++) {
    const [first, second] = small(20_000 + round);
    const others = Array.from({ length: 250 }, (_, i) => small(round * 250 + i)[0]);
    const outcomes = t.send(second, first, ...others);
    assert.equal(outcomes.filter((o) => o.verdict === 'held').length, 1);
    assert.equal(outcomes.filter((o) => o.verdict === 'forward').length, 252, `round ${round}`);
  }
});

test('a batch takes all pieces that its first fragments release, even above the limit of held ones', () => {
  const t = createTestDatapath();
  const early = Array.from({ length: 64 }, (_, id) => pieces(`${VIP}:53`, 2000, id)[1]!);
  for (const piece of early) t.one(piece);
  const firsts = early.map((_, id) => pieces(`${VIP}:53`, 2000, id)[0]!);
  const turned = Array.from({ length: 96 }, (_, i) =>
    pieces(`${VIP}:53`, 2000, 100 + i).reverse(),
  ).flat();
  const outcomes = t.send(...firsts, ...turned);
  assert.equal(outcomes.filter((o) => o.verdict === 'forward').length, 2 * (64 + 96));
  assertAccounts(t, 2 * (64 + 96));
});

test('early pieces wait a second, in 64 places, each up to 9216 bytes', () => {
  const t = createTestDatapath();
  const late = (id: number, bytes = 16) => ip4(POD, VIP, 17, data(bytes), { id, fragment: 10 });
  assert.equal(t.one(late(1, 9216 - 30)).verdict, 'held');
  assert.equal(t.one(late(2, 9216 - 29)).verdict, 'fragment-limit');
  for (let id = 100; id < 163; id++) assert.equal(t.one(late(id)).verdict, 'held');
  assert.equal(t.one(late(999)).verdict, 'fragment-limit');
  assertAccounts(t, 66, 0, 64);
  t.tick(t.now + 1000);
  assert.equal(t.counter('fragment-orphan'), 64);
  assertAccounts(t, 66);
  assert.equal(t.one(late(1000)).verdict, 'held', 'there is room again');
});

test('fragments to the node itself pass', () => {
  const t = createTestDatapath();
  const pieces = fragment4(udp4(`${POD}:4000`, `${NODE}:999`, new Array(2000).fill(1)), 1480);
  assert.deepEqual(
    t.send(...pieces).map((o) => o.verdict),
    ['forward', 'forward'],
  );
});
