import assert from 'node:assert/strict';
import { test } from 'node:test';
import { H_NOW, H_TRACE_UNTIL, TRACE_RECORDS } from '../../../../datapath/arena/layout.ts';
import { TraceReader, type TraceRecord } from '../../../../datapath/observe/trace.ts';
import { PORT_SPOOFED } from '../../../../datapath/pipeline/batch.ts';
import {
  addr,
  BACKEND,
  change,
  createTestDatapath,
  NODE,
  OUTSIDE,
  POD,
  service,
  VIP,
} from '../../../support/datapath.ts';
import {
  ACK,
  echo4,
  fragment4,
  icmpError4,
  ip4,
  RST,
  SYN,
  tcp4,
  udp4,
} from '../../../support/packets.ts';

/** A datapath with a trace reader, and a function that takes the new records. */
function watched() {
  const t = createTestDatapath();
  t.d.header[H_NOW] = t.now;
  const reader = new TraceReader(t.d.arena);
  const lines = () =>
    [...reader.take()].map(({ verdict, reason, service, left }) =>
      [verdict, reason, service, left ? left.dport : '-'].join(' '),
    );
  return { t, reader, lines };
}

test('each packet has a record: its verdict, reason, Service and tuple after translation', () => {
  const { t, lines } = watched();
  t.send(
    tcp4(`${POD}:40000`, `${VIP}:80`, SYN),
    tcp4(`${POD}:40000`, `${VIP}:80`, ACK),
    tcp4(`${POD}:40001`, '10.96.0.99:80', SYN),
    tcp4(`${POD}:40002`, `${VIP}:81`, SYN),
    tcp4(`${POD}:40003`, `${VIP}:80`, ACK),
    udp4(`${POD}:40004`, '10.96.3.3:53', [1]),
    tcp4(`${POD}:40005`, '10.244.2.9:80', SYN),
    tcp4(`${POD}:40006`, '10.244.2.9:80', RST),
  );
  assert.deepEqual(lines(), [
    'forward new default/web1:80 8080',
    'forward flow default/web1:80 8080',
    'reject reject-no-endpoint default/empty:80 -',
    'reject reject-wrong-port  -',
    'reject reject-midstream default/web1:80 -',
    'drop unallocated  -',
    'forward new  80',
    'forward passed-untracked  80',
  ]);
  assert.deepEqual(lines(), [], 'each once');
});

test("an unreadable packet has no tuple, and a record never has another packet's decision", () => {
  const { t, reader } = watched();
  const good = tcp4(`${POD}:40000`, '10.96.0.99:80', SYN);
  const bad = good.slice();
  bad[10 + 10]! ^= 1; // The IP checksum, after the virtio header.
  t.send(good, bad, good.slice(0, 20), udp4(`${POD}:5000`, `${VIP}:53`, [1]));
  const told = [...reader.take()].map((r) => [r.reason, r.tuple.src !== 0, r.service]);
  assert.deepEqual(told, [
    ['reject-no-endpoint', true, 'default/empty:80'],
    ['ip-checksum', false, null],
    ['short', false, null],
    ['new', true, 'default/dns:53'],
  ]);
});

test('a packet has its tuple before and after translation, and its length', () => {
  const { t, reader } = watched();
  t.one(udp4(`${POD}:5000`, `${VIP}:53`, [1, 2, 3]));
  const [record] = [...reader.take()];
  assert.equal(record?.bytes, 20 + 8 + 3);
  assert.deepEqual(record?.tuple, {
    ...{ proto: 17, src: addr(POD), sport: 5000, dst: addr(VIP), dport: 53 },
  });
  assert.equal(record?.left?.dport, 5353);
  assert.equal(record?.left?.sport, 5000);
});

test('counts records that were overwritten before they were read as lost', () => {
  const { t, reader } = watched();
  for (let i = 0; i < TRACE_RECORDS + 10; i++) t.one(udp4(`${POD}:5000`, `${VIP}:53`, [1]));
  assert.equal([...reader.take()].length, TRACE_RECORDS);
  assert.equal(reader.lost, 10);
});

test('writes no records before the first request and 2 s after the last one', () => {
  const { t, lines } = watched();
  const send = () => t.one(udp4(`${POD}:5000`, `${VIP}:53`, [1]));
  t.d.header[H_TRACE_UNTIL] = 0; // As before the first request.
  send();
  const second = new TraceReader(t.d.arena);
  assert.deepEqual([...second.take()], []);
  send();
  assert.equal(lines().length, 1);
  t.tick(t.now + 10_000);
  assert.equal(t.d.header[H_TRACE_UNTIL], 0, 'no reader for more than 2 s');
  send();
  assert.deepEqual([...second.take()].length, 1);
});

test('a later fragment or an ICMP error has no decision of an earlier packet', () => {
  const { t, reader } = watched();
  const [first, later] = fragment4(udp4(`${POD}:5000`, `${OUTSIDE}:53`, new Array(40).fill(1)), 24);
  const { frame } = t.one(first!);
  t.one(udp4(`${POD}:5001`, `${VIP}:53`, [1]));
  t.one(udp4(`${POD}:5002`, `${OUTSIDE}:53`, [1]));
  t.one(later!);
  t.one(icmpError4(OUTSIDE, NODE, 3, 3, frame));
  const told = [...reader.take()].map((r) => [r.verdict, r.reason, r.masquerade, r.service]);
  assert.deepEqual(told, [
    ['forward', 'new', 'egress', null],
    ['forward', 'new', null, 'default/dns:53'],
    ['forward', 'new', 'egress', null],
    ['forward', 'related', null, null],
    ['forward', 'related', null, null],
  ]);
});

test('a spoofed packet and a fragment beyond the end have no Service of an earlier packet', () => {
  const { t, reader } = watched();
  t.one(tcp4(`${POD}:40000`, `${VIP}:80`, SYN));
  t.port = PORT_SPOOFED;
  t.one(udp4('192.0.2.1:5000', `${VIP}:53`, [1]));
  t.port = 0;
  t.one(ip4(POD, VIP, 17, new Array(64).fill(1), { fragment: 0x1fff }));
  const told = [...reader.take()].map((r) => [r.reason, r.tuple.dst === addr(VIP), r.service]);
  assert.deepEqual(told, [
    ['new', true, 'default/web1:80'],
    ['spoofed', true, null],
    ['fragment-range', true, null],
  ]);
});

test("a record has the Service's present name, even if the id was used before", () => {
  const { t, lines } = watched();
  const syn = (port: number) => t.one(tcp4(`${POD}:${port}`, `${VIP}:80`, SYN));
  syn(40_000);
  assert.deepEqual(lines(), ['forward new default/web1:80 8080']);
  t.writer.publish(change({ upsert: [service(1, { name: 'default/other:80' })] }));
  syn(40_001);
  assert.deepEqual(lines(), ['forward new default/other:80 8080']);
});

test('an echo has its identifier and no port, before and after translation', () => {
  const { t, reader } = watched();
  t.one(echo4(POD, BACKEND, 77));
  const [{ tuple, left }] = [...reader.take()] as [TraceRecord];
  assert.deepEqual([tuple.sport, tuple.dport], [77, 0]);
  assert.deepEqual(left, tuple);
});
