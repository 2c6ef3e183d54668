import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { COUNTERS, DROP_REASONS } from '../../../../datapath/pipeline/verdict.ts';
import { BACKEND, createTestDatapath, NODE, POD, VIP } from '../../../support/datapath.ts';
import { flowCount } from '../../../support/flow-count.ts';
import {
  ACK,
  echo4,
  FIN,
  fragment4,
  hopBack,
  icmp4,
  icmpError4,
  ip4,
  RST,
  SYN,
  sum16,
  tcp4,
  udp4,
} from '../../../support/packets.ts';

const EMPTY = '10.96.0.99:80';
const data = (bytes: number) => new Array(bytes).fill(7);

// RFC 9293 3.10.7.1: to a segment with ACK, the RST has that acknowledgement as its sequence. To
// one without, it acknowledges the whole segment.
const RESETS: [string, Uint8Array, { flags: number; seq: number; ack: number }][] = [
  ['SYN', tcp4(`${POD}:1`, EMPTY, SYN, [], { seq: 99 }), { flags: RST | ACK, seq: 0, ack: 100 }],
  [
    'SYN with data, at the end of the sequence space',
    tcp4(`${POD}:1`, EMPTY, SYN, data(5), { seq: 0xffff_fffd }),
    { flags: RST | ACK, seq: 0, ack: 3 },
  ],
  [
    'SYN with TCP and IP options',
    tcp4(`${POD}:1`, EMPTY, SYN, [], { seq: 9, options: [1, 1, 1, 0], tcpOptions: [2, 4, 5, 180] }),
    { flags: RST | ACK, seq: 0, ack: 10 },
  ],
  [
    'ACK with data to a frontend without a flow',
    tcp4(`${POD}:1`, `${VIP}:80`, ACK, data(9), { seq: 5, ack: 0x9000_0001 }),
    { flags: RST, seq: 0x9000_0001, ack: 0 },
  ],
  [
    'SYN and ACK',
    tcp4(`${POD}:1`, `${VIP}:80`, SYN | ACK, [], { seq: 5, ack: 45 }),
    { flags: RST, seq: 45, ack: 0 },
  ],
  [
    'FIN and ACK',
    tcp4(`${POD}:1`, `${VIP}:80`, FIN | ACK, [], { seq: 5, ack: 44 }),
    { flags: RST, seq: 44, ack: 0 },
  ],
  [
    'SYN to a port that the Service does not have',
    tcp4(`${POD}:1`, `${VIP}:81`, SYN, [], { seq: 6 }),
    { flags: RST | ACK, seq: 0, ack: 7 },
  ],
];

for (const [what, frame, expected] of RESETS) {
  for (const isPartial of [false, true]) {
    test(`RST in answer to ${what}${isPartial ? ', with a partial checksum' : ''}`, () => {
      const t = createTestDatapath();
      const sent = frame.slice();
      if (isPartial) sent.set([1, 0, 0, 0, 0, 0, 20 + ((frame[10]! & 15) - 5) * 4, 0, 16, 0]);
      const { verdict, packet, frame: answer } = t.one(sent);
      assert.equal(verdict, 'reply');
      const { flags, seq, ack } = packet;
      assert.deepEqual({ flags, seq, ack }, expected);
      assert.deepEqual([packet.dst, packet.dport], [POD, 1]);
      assert.equal(packet.totalLength, 40);
      assert.equal(answer.length, 50);
      assert.ok(packet.ipOk && packet.l4Ok);
      assert.deepEqual(
        [...answer.subarray(0, 10)],
        new Array(10).fill(0),
        'no offload is requested',
      );
      assert.equal(flowCount(t.d.table), 0);
    });
  }
}

test('a refused datagram is quoted whole up to 576 bytes, and no further', () => {
  for (const [bytes, total] of [
    [0, 56],
    [100, 156],
    [520, 576],
    [521, 576],
    [5000, 576],
  ] as const) {
    const t = createTestDatapath();
    const sent = udp4(`${POD}:4000`, `${VIP}:9`, data(bytes));
    const { verdict, packet, frame } = t.one(sent);
    assert.deepEqual([verdict, packet.type, packet.code], ['reply', 3, 3]);
    assert.deepEqual([packet.src, packet.dst, packet.totalLength], [VIP, POD, total]);
    assert.ok(packet.ipOk && packet.l4Ok);
    const quote = frame.subarray(10 + 28);
    assert.deepEqual(quote, sent.subarray(10, 10 + quote.length));
  }
});

test('protocols other than TCP get port unreachable: SCTP, echo, others', () => {
  const refused = [
    ip4(POD, VIP, 132, [0, 1, 0, 80, ...data(16)]),
    echo4(POD, VIP, 7),
    // Timestamp, information and address mask requests.
    ...[13, 15, 17].map((type) => icmp4(POD, VIP, type, 0, data(12))),
    ip4(POD, VIP, 47, data(8)),
  ];
  for (const frame of refused) {
    const t = createTestDatapath();
    const { verdict, packet } = t.one(frame);
    assert.deepEqual([verdict, packet.type, packet.code], ['reply', 3, 3]);
    assert.deepEqual([packet.src, packet.dst, packet.l4Ok], [VIP, POD, true]);
  }
});

// RFC 1122 3.2.2: no error about an ICMP error, none to a source that is not a single host.
// RFC 9293: no RST about an RST.
const SILENT: [string, Uint8Array, string][] = [
  ['an RST', tcp4(`${POD}:1`, EMPTY, RST), 'unanswerable'],
  ['an RST with ACK', tcp4(`${POD}:1`, `${VIP}:81`, RST | ACK), 'unanswerable'],
  ['a multicast source', udp4('224.0.0.5:1', `${VIP}:9`), 'unanswerable'],
  ['the broadcast address as source', tcp4('255.255.255.255:1', EMPTY, SYN), 'unanswerable'],
  ['a loopback source', tcp4('127.0.0.1:1', EMPTY, SYN), 'unanswerable'],
  ['no source', udp4('0.0.0.0:68', `${VIP}:9`), 'unanswerable'],
  ['an ICMP redirect', icmp4(POD, VIP, 5, 1, data(32)), 'icmp-without-flow'],
  ['an ICMP source quench', icmp4(POD, VIP, 4, 0, data(32)), 'icmp-without-flow'],
  ['a timestamp reply', icmp4(POD, VIP, 14, 0, data(12)), 'icmp-without-flow'],
  ['an unsolicited echo reply', echo4(POD, VIP, 5, true), 'icmp-without-flow'],
];

for (const [what, frame, reason] of SILENT) {
  test(`${what} is not answered`, () => {
    const t = createTestDatapath();
    assert.equal(t.one(frame).verdict, reason);
    assert.equal(t.counter(reason), 1);
  });
}

test('an ICMP error to a Service address is not answered and passes unchanged', () => {
  const t = createTestDatapath();
  const error = icmpError4(POD, VIP, 3, 3, udp4(`${VIP}:9`, `${POD}:4000`));
  const { verdict, frame } = t.one(error);
  assert.equal(verdict, 'forward');
  assert.deepEqual(frame, hopBack(error));
});

test('a packet of IP protocol 0 passes to a node, and is refused to a Service', () => {
  const t = createTestDatapath();
  assert.equal(t.one(ip4(POD, NODE, 0, data(8))).verdict, 'forward');
  assert.equal(t.counter('passed-host'), 1);
  assert.equal(t.one(ip4(POD, VIP, 0, data(8))).verdict, 'reply');
  assert.equal(t.counter('reject-wrong-port'), 1);
  assert.equal(t.counter('reject-no-endpoint'), 0);
});

test('a refusal longer than its packet does not overwrite the next packet', () => {
  for (let bytes = 0; bytes < 64; bytes++) {
    const t = createTestDatapath();
    const refused = udp4(`${POD}:4000`, `${VIP}:9`, new Array(bytes).fill(1));
    const [first, second] = t.send(
      refused,
      tcp4(`${POD}:4000`, `${VIP}:80`, SYN, [], { partial: true }),
    );
    assert.equal(first!.verdict, 'reply');
    assert.ok(first!.packet.ipOk && first!.packet.l4Ok);
    assert.equal(second!.verdict, 'forward');
    assert.equal(second!.packet.dst, BACKEND);
    assert.ok(second!.packet.ipOk && second!.packet.l4Ok, `behind ${bytes} bytes`);
  }
});

test('a refusal of an echo has right sums, whatever its payload', () => {
  const t = createTestDatapath();
  const { verdict, frame } = t.one(echo4(POD, VIP, 0xffff));
  assert.equal(verdict, 'reply');
  assert.equal(sum16(frame.subarray(30)), 0xffff);
});

test('every drop reason and counter is described in docs/datapath.md', () => {
  const text = readFileSync(new URL('../../../../docs/datapath.md', import.meta.url), 'utf8');
  for (const [name, meaning] of [...DROP_REASONS.slice(1), ...COUNTERS]) {
    assert.ok(text.includes(`| \`${name}\` | ${meaning} |`), name);
  }
});

/** The frame with its last transport byte changed, and its checksum not. */
function damaged(frame: Uint8Array): Uint8Array {
  const bad = frame.slice();
  bad[bad.length - 1] = bad[bad.length - 1]! ^ 1;
  return bad;
}

const WHOLE: [string, Uint8Array][] = [
  ['a SYN', tcp4(`${POD}:1`, EMPTY, SYN, data(5))],
  ['a datagram', udp4(`${POD}:1`, '10.96.0.99:81', data(5))],
  ['an echo', echo4(POD, VIP, 9)],
];
for (const [what, frame] of WHOLE) {
  test(`${what} with a wrong checksum is not refused, and counted`, () => {
    const t = createTestDatapath();
    assert.equal(t.one(damaged(frame)).verdict, 'l4-checksum');
    assert.equal(t.counter('l4-checksum'), 1);
    assert.equal(t.one(frame).verdict, 'reply');
  });
}

test('refuses a datagram without a checksum, a first fragment and a frame longer than its datagram', () => {
  const t = createTestDatapath();
  const bare = udp4(`${POD}:1`, '10.96.0.99:81', data(5), { noSum: true });
  const [first] = fragment4(udp4(`${POD}:1`, '10.96.0.99:81', data(200)), 64);
  const datagram = [0, 1, 0, 81, 0, 8, 0, 0];
  const padded = ip4(POD, '10.96.0.99', 17, [...datagram, 1, 2, 3]);
  for (const frame of [bare, first!, padded]) assert.equal(t.one(frame).verdict, 'reply');
});

test('a damaged packet that is forwarded stays damaged', () => {
  const t = createTestDatapath();
  const { verdict, packet } = t.one(damaged(tcp4(`${POD}:1`, `${VIP}:80`, SYN, data(5))));
  assert.deepEqual([verdict, packet.ipOk, packet.l4Ok], ['forward', true, false]);
});

test('the rate of refusals is limited, RST and ICMP together, and each beyond is counted', () => {
  const t = createTestDatapath();
  const flood = Array.from({ length: 100 }, (_, n) =>
    n % 2 ? tcp4(`${POD}:${n}`, EMPTY, SYN) : udp4(`${POD}:${n}`, '10.96.0.99:81'),
  );
  const verdicts = () => t.send(...flood).map(({ verdict }) => verdict);
  const [first, second] = [verdicts(), verdicts()];
  assert.deepEqual(first.slice(0, 50), new Array(50).fill('reply'));
  assert.deepEqual(first.slice(50), new Array(50).fill('refusal-limited'));
  assert.deepEqual(second, new Array(100).fill('refusal-limited'));
  assert.equal(t.counter('refusal-limited'), 150);
  // One token per ms is added, and after any pause at most a burst.
  t.now += 7;
  assert.equal(verdicts().filter((v) => v === 'reply').length, 7);
  t.now += 600_000;
  assert.equal(verdicts().filter((v) => v === 'reply').length, 50);
  t.now = (t.now + 2 ** 31 + 5) | 0;
  assert.equal(verdicts().filter((v) => v === 'reply').length, 50, 'after the clock has wrapped');
});
