// ICMP errors quote the packet as the sender sent it, byte by byte.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BACKEND,
  change,
  createTestDatapath,
  frontend,
  NODE,
  NODE_ENTRY,
  OUTSIDE,
  POD,
  pairs,
  service,
  type TestDatapath,
  VIP,
} from '../../../support/datapath.ts';
import {
  ACK,
  decode,
  echo4,
  hopBack,
  icmp4,
  ip4,
  SYN,
  tcp4,
  udp4,
} from '../../../support/packets.ts';

const ROUTER = '172.18.0.2';

/** An error that quotes the first `bytes` of a frame's packet, with a TTL that a router lowered. */
function errorAbout(frame: Uint8Array, to: string, bytes: number): Uint8Array {
  return icmp4(ROUTER, to, 3, 4, [0, 0, 5, 0, ...frame.subarray(10, 10 + bytes)]);
}

const quoteOf = (frame: Uint8Array) => frame.subarray(10 + 28);

/** Offsets at which a quote differs, without header checksum and TTL, which may have a hop back. */
function differences(quote: Uint8Array, sent: Uint8Array): number[] {
  const places: number[] = [];
  for (let at = 0; at < quote.length; at++) {
    if (at !== 8 && at !== 10 && at !== 11 && quote[at] !== sent[10 + at]) places.push(at);
  }
  return places;
}

const ROWS: [string, Uint8Array][] = [
  ['TCP to a Service', tcp4(`${POD}:4000`, `${VIP}:80`, SYN, [1, 2, 3])],
  ['TCP with IP options', tcp4(`${POD}:4000`, `${VIP}:80`, SYN, [1, 2], { options: [1, 1, 1, 0] })],
  ['UDP to a Service', udp4(`${POD}:4000`, `${VIP}:53`, [1, 2, 3, 4, 5, 6])],
  ['UDP without a checksum', udp4(`${POD}:4000`, `${VIP}:53`, [1, 2, 3, 4], { noSum: true })],
  ['UDP that is masqueraded', udp4(`${POD}:4000`, `${OUTSIDE}:53`, [5, 5])],
  ['a NodePort', tcp4(`${OUTSIDE}:4000`, `${NODE}:30080`, SYN, [1, 2])],
  ['an echo request that is masqueraded', echo4(POD, OUTSIDE, 0x1234)],
];

for (const [what, sent] of ROWS) {
  test(`${what}: a quote of any length equals what was sent`, () => {
    const header = (sent[10]! & 15) * 4;
    for (let bytes = header + 8; bytes <= sent.length - 10; bytes++) {
      if (bytes === header + 17) continue; // Half of a TCP checksum cannot be correct.
      const t = createTestDatapath();
      const left = t.one(sent);
      const { verdict, packet, frame } = t.one(errorAbout(left.frame, left.packet.src, bytes));
      assert.equal(verdict, 'forward');
      assert.equal(t.counter('icmp-translated'), 1);
      assert.ok(packet.ipOk && packet.l4Ok, 'checksums of the error');
      assert.equal(packet.dst, decode(sent).src);
      const quote = quoteOf(frame);
      assert.equal(quote.length, bytes);
      assert.deepEqual(differences(quote, sent), [], `${bytes} bytes are quoted`);
    }
  });
}

test('a quote that ends before the ports passes unchanged', () => {
  for (let bytes = 0; bytes < 24; bytes++) {
    const t = createTestDatapath();
    const left = t.one(udp4(`${POD}:4000`, `${VIP}:53`));
    const error = errorAbout(left.frame, POD, bytes);
    const { verdict, frame } = t.one(error);
    assert.equal(verdict, 'forward');
    assert.deepEqual(frame, hopBack(error));
    assert.equal(t.counter('icmp-translated'), 0);
  }
});

test('the ports are enough: the checksum field may lie beyond the quote', () => {
  const t = createTestDatapath();
  const sent = udp4(`${POD}:4000`, `${VIP}:53`);
  const { verdict, frame } = t.one(errorAbout(t.one(sent).frame, POD, 24));
  assert.equal(verdict, 'forward');
  assert.deepEqual(differences(quoteOf(frame), sent), []);
});

/** Row: a change after which the quote matches no flow. */
const STRANGE: [string, (quote: Uint8Array) => void][] = [
  ['of version 6', (q) => q.set([0x65], 0)],
  ['with a header of four words', (q) => q.set([0x44], 0)],
  ['with a header longer than the quote', (q) => q.set([0x4f], 0)],
  ['of a later fragment', (q) => q.set([0x20, 0x10], 6)],
  ['of an unknown protocol', (q) => q.set([99], 9)],
  ['from another source', (q) => q.set([1, 2, 3, 4], 12)],
  ['to another destination', (q) => q.set([1, 2, 3, 4], 16)],
];

for (const [what, spoil] of STRANGE) {
  test(`a quote ${what} passes unchanged`, () => {
    const t = createTestDatapath();
    const left = t.one(udp4(`${POD}:4000`, `${VIP}:53`, [1, 2, 3, 4]));
    const quoted = left.frame.slice();
    spoil(quoted.subarray(10));
    const error = errorAbout(quoted, POD, 32);
    const { verdict, frame } = t.one(error);
    assert.equal(verdict, 'forward');
    assert.deepEqual(frame, hopBack(error));
  });
}

test('errors about an error, and about ICMP other than echo, pass unchanged', () => {
  const t = createTestDatapath();
  t.one(udp4(`${POD}:4000`, `${VIP}:53`));
  for (const type of [3, 5, 13]) {
    const error = errorAbout(icmp4(POD, BACKEND, type, 0, new Array(20).fill(0)), POD, 40);
    assert.deepEqual(t.one(error).frame, hopBack(error));
  }
});

test("a hairpin: the endpoint's error reaches the pod as an error of the Service", () => {
  const image = change({
    node: NODE_ENTRY,
    upsert: [service(1, { cluster: pairs(`${POD}:8080`) })],
    addFrontends: [frontend(`${VIP}:80`, 1)],
  });
  const t = createTestDatapath({ image });
  const sent = tcp4(`${POD}:4000`, `${VIP}:80`, SYN);
  const left = t.one(sent);
  assert.equal(left.packet.src, NODE);
  const { packet, frame } = t.one(
    icmp4(POD, NODE, 3, 3, [0, 0, 0, 0, ...left.frame.subarray(10, 50)]),
  );
  assert.deepEqual([packet.src, packet.dst], [VIP, POD]);
  assert.deepEqual(differences(quoteOf(frame), sent), []);
});

test("a client's error about an echo reply goes to the source of the reply", () => {
  const t: TestDatapath = createTestDatapath();
  const out = t.one(echo4(POD, OUTSIDE, 77));
  const id = out.frame[34]! * 256 + out.frame[35]!;
  const reply = echo4(OUTSIDE, NODE, id, true);
  const heard = t.one(reply);
  const { packet, frame } = t.one(
    icmp4(POD, OUTSIDE, 3, 1, [0, 0, 0, 0, ...heard.frame.subarray(10, 40)]),
  );
  assert.deepEqual([packet.src, packet.dst], [NODE, OUTSIDE]);
  assert.deepEqual(differences(quoteOf(frame), reply), []);
});

test('SCTP: ports are restored, the quoted checksum stays', () => {
  const t = createTestDatapath();
  const sent = ip4(POD, OUTSIDE, 132, [0x0f, 0xa0, 0, 80, 1, 2, 3, 4, 9, 9, 9, 9, 1, 0, 0, 4]);
  const left = t.one(sent);
  assert.equal(left.packet.src, NODE);
  const { frame } = t.one(errorAbout(left.frame, NODE, 28));
  assert.deepEqual(differences(quoteOf(frame), sent), []);
});

test('errors of a flow without translation pass unchanged and are counted as related', () => {
  const t = createTestDatapath();
  const { frame: left } = t.one(tcp4(`${POD}:4000`, `${BACKEND}:80`, ACK, [1]));
  const error = errorAbout(left, POD, 40);
  assert.deepEqual(t.one(error).frame, hopBack(error));
  assert.equal(t.counter('icmp-translated'), 1);
});
