// Compares the encoder with dns-packet: each decodes the other's messages, and sizes keep their
// limits.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decode, encode } from 'dns-packet';
import fc from 'fast-check';
import { decodeMessage, MessageError } from '../../../../control/dns/decode.ts';
import { encodeMessage } from '../../../../control/dns/encode.ts';
import { joinLabels, labelsOf, type Name, parseName } from '../../../../control/dns/name.ts';
import { addressBytes, bareAnswer } from '../../../../control/dns/record.ts';
import { readServiceRow, readSliceRow } from '../../../../control/dns/rows.ts';
import { ask, CLIENT, clusterService, lines, makeResponder, makeZone, slice } from './world.ts';

const none = { ask: async () => bareAnswer(0) };

/** A headless Service with so many endpoints, some of them over all sizes. */
function zoneOf(endpoints: number) {
  const zone = makeZone();
  const ports: [string, number][] = [['http', 80]];
  zone.putService(readServiceRow(clusterService('testns/big', ['None'], ports)));
  const addresses = Array.from({ length: endpoints }, (_, i) => `172.1.${i >> 8}.${i & 255}`);
  for (let at = 0; at < endpoints; at += 100) {
    const part = addresses.slice(at, at + 100);
    zone.putSlice(readSliceRow(slice('testns/big', part, ports, `part${at}`)), null);
  }
  return zone;
}

describe('an answer', () => {
  const BIG = 'big.testns.svc.cluster.local';
  const sizes: [edns: number | undefined, limit: number, answers: number][] = [
    // 12 of header, 33 + 4 of question, 16 for each address; 11 of EDNS.
    [undefined, 512, 29],
    [512, 512, 28],
    [100, 512, 28],
    [1232, 1232, 73],
    [4096, 4096, 200],
    [65_000, 4096, 200],
  ];
  for (const [edns, limit, count] of sizes) {
    test(`over UDP with EDNS ${edns} holds ${count} of 200 addresses in ${limit} bytes`, async () => {
      const responder = makeResponder(zoneOf(200), none);
      const { bytes, packet } = await ask(responder, BIG, 'A', edns ? { edns } : {});
      assert.equal(packet.answers!.length, count);
      assert.ok(
        bytes.length <= limit && bytes.length > Math.min(limit - 16, 3200),
        `${bytes.length}`,
      );
      assert.equal(packet.flag_tc, count < 200);
      const sent = packet.additionals!.find(({ type }) => type === 'OPT');
      assert.equal((sent as { udpPayloadSize?: number })?.udpPayloadSize, edns ? 4096 : undefined);
    });
  }

  test('over TCP holds all of 200 addresses, and of 4000 as many as fit', async () => {
    const { packet } = await ask(makeResponder(zoneOf(200), none), BIG, 'A', { transport: 'tcp' });
    assert.deepEqual([packet.answers!.length, packet.flag_tc], [200, false]);
    const huge = await ask(makeResponder(zoneOf(5000), none), BIG, 'A', { transport: 'tcp' });
    assert.equal(huge.packet.flag_tc, true);
    assert.ok(huge.bytes.length > 65_500 && huge.bytes.length <= 65_535);
  });

  test('leaves out additional records that do not fit, and does not set TC', async () => {
    const { packet } = await ask(makeResponder(zoneOf(8), none), BIG, 'SRV');
    assert.equal(packet.answers!.length, 8);
    assert.equal(packet.flag_tc, false);
    const all = await ask(makeResponder(zoneOf(8), none), BIG, 'SRV', { edns: 4096 });
    assert.equal(lines(all.packet.additionals).length, 8);
    assert.ok(lines(packet.additionals).length < 8);
  });

  test('does not compress names in SRV records (RFC 2782)', async () => {
    const { bytes } = await ask(makeResponder(zoneOf(1), none), BIG, 'SRV', { edns: 4096 });
    const target = joinLabels(['172-1-0-0', 'big', 'testns', 'svc', 'cluster', 'local'])!;
    assert.ok(bytes.includes(Buffer.from(target, 'latin1')));
  });
});

const label = fc.stringMatching(/^[a-zA-Z0-9_-]{1,20}$/);
const name = fc.array(label, { minLength: 1, maxLength: 6 }).map((labels) => labels.join('.'));

test('records of every type are unchanged after dns-packet has decoded and encoded them', () => {
  const address = fc.ipV4().map((data) => ({ type: 'A' as const, data }));
  const record = fc.oneof(
    address,
    fc.constant({ type: 'AAAA' as const, data: 'fd00::1:0:0:7' }),
    name.map((data) => ({ type: 'CNAME' as const, data })),
    name.map((data) => ({ type: 'NS' as const, data })),
    name.map((data) => ({ type: 'PTR' as const, data })),
    fc.record({
      type: fc.constant('MX' as const),
      data: fc.record({ preference: fc.nat(9), exchange: name }),
    }),
    fc.record({
      type: fc.constant('SRV' as const),
      data: fc.record({ priority: fc.nat(9), weight: fc.nat(99), port: fc.nat(999), target: name }),
    }),
    fc.record({
      type: fc.constant('SOA' as const),
      data: fc.record({
        ...{ mname: name, rname: name, serial: fc.nat(), refresh: fc.nat(), retry: fc.nat() },
        ...{ expire: fc.nat(), minimum: fc.nat() },
      }),
    }),
    fc.constant({ type: 'TXT' as const, data: [Buffer.from('one'), Buffer.from('two')] }),
    fc.constant({ type: 'CAA' as const, data: { flags: 0, tag: 'issue', value: 'ca.test' } }),
  );
  const records = fc.array(fc.tuple(name, record, fc.nat(99_999)), { maxLength: 12 });
  fc.assert(
    fc.property(name, records, (question, list) => {
      const answers = list.map(([name, rest, ttl]) => ({
        name,
        ttl,
        class: 'IN' as const,
        ...rest,
      }));
      const packet = { type: 'response' as const, id: 7, flags: 0x0580, answers };
      const first = encode({ ...packet, questions: [{ name: question, type: 'A' }] } as never);
      const message = decodeMessage(first)!;
      const outgoing = { ...message, rcode: 0 };
      const bytes = encodeMessage(outgoing, 65_535);
      assert.ok(bytes.length <= first.length, 'compression never makes it longer');
      const fold = (text: string) => text.toLowerCase();
      assert.deepEqual(
        lines(decode(bytes).answers).map(fold).sort(),
        lines(decode(first).answers).map(fold).sort(),
      );
      assert.deepEqual(
        decodeMessage(bytes),
        decodeMessage(encodeMessage(decodeMessage(bytes)! as never, 65_535)),
      );
    }),
    { numRuns: 200 },
  );
});

describe('a name', () => {
  const rows: [text: string, labels: string[] | null][] = [
    ['web.default', ['web', 'default']],
    ['web.default.', ['web', 'default']],
    ['.', []],
    ['a..b', null],
    [`${'a'.repeat(63)}.b`, ['a'.repeat(63), 'b']],
    ['a'.repeat(64), null],
    [Array(127).fill('a').join('.'), Array(127).fill('a')],
    [Array(128).fill('a').join('.'), null],
  ];
  for (const [text, labels] of rows) {
    test(`of ${text.length} characters, ${text.slice(0, 20)}`, () => {
      const found = parseName(text);
      assert.deepEqual(found === null ? null : labelsOf(found), labels);
    });
  }

  test('with a dot inside a label differs from the name of two labels', async () => {
    const dotted = joinLabels(['svc1.testns', 'svc', 'cluster', 'local'])!;
    const responder = makeResponder(makeZone(), none);
    const answer = decodeMessage((await responder.respond(queryOf(dotted), CLIENT))!)!;
    assert.equal(answer.flags & 15, 3);
    assert.equal(answer.question.name, dotted);
  });

  test('keeps every byte when it is encoded and decoded', async () => {
    const odd = joinLabels(['\xff\x00\xc0é', 'default', 'svc', 'cluster', 'local'])!;
    const answer = await makeResponder(makeZone(), none).respond(queryOf(odd), CLIENT);
    assert.equal(decodeMessage(answer!)!.question.name, odd);
  });
});

function queryOf(name: Name): Buffer {
  const question = { name, type: 1, class: 1 };
  const sections = { answers: [], authority: [], additional: [], edns: null };
  return encodeMessage({ id: 9, flags: 0x100, rcode: 0, question, ...sections }, 512);
}

/** Also false for a name that cannot be decoded. */
function hasEdns(query: Buffer): boolean {
  try {
    return decodeMessage(query)?.edns !== null;
  } catch {
    return false;
  }
}

describe('a malformed message', () => {
  const header = (questions: number, answers = 0) =>
    Buffer.from([0x12, 0x67, 1, 0, 0, questions, 0, answers, 0, 0, 0, 0]);
  const question = Buffer.from('\x03www\x04test\0\0\x01\0\x01', 'latin1');
  const rows: [what: string, bytes: Buffer][] = [
    ['without a question', header(0)],
    ['with two questions', Buffer.concat([header(2), question, question])],
    ['with a question too few', header(1)],
    ['that ends inside of a name', Buffer.concat([header(1), question.subarray(0, 6)])],
    ['that ends before the class', Buffer.concat([header(1), question.subarray(0, -2)])],
    ['with a pointer to itself', Buffer.concat([header(1), Buffer.from([0xc0, 12, 0, 1, 0, 1])])],
    ['with a pointer forward', Buffer.concat([header(1), Buffer.from([0xc0, 40, 0, 1, 0, 1])])],
    ['with half a pointer', Buffer.concat([header(1), Buffer.from([0xc0])])],
    ['with a reserved label', Buffer.concat([header(1), Buffer.from([0x41, 0, 0, 1, 0, 1])])],
    ['with an answer that is missing', Buffer.concat([header(1, 1), question])],
  ];
  for (const [what, bytes] of rows) {
    test(`${what} is answered with FORMERR alone`, async () => {
      assert.throws(() => decodeMessage(bytes), MessageError);
      const answer = await makeResponder(makeZone(), none).respond(bytes, CLIENT);
      assert.deepEqual([...answer!], [0x12, 0x67, 0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    });
  }

  test('with bytes after its records is answered as if they were absent', async () => {
    const responder = makeResponder(makeZone(), none);
    const query = queryOf(parseName('svc1.testns.svc.cluster.local')!);
    const answer = await responder.respond(query, CLIENT);
    assert.equal(decodeMessage(answer!)!.answers.length, 1);
    for (const more of [1, 12, 4000]) {
      const longer = Buffer.concat([query, Buffer.alloc(more, 0xff)]);
      assert.deepEqual(await responder.respond(longer, CLIENT), answer);
    }
  });

  test('that is shorter than a header, or is itself an answer, gets no answer', async () => {
    const responder = makeResponder(makeZone(), none);
    assert.equal(await responder.respond(header(1).subarray(0, 11), CLIENT), null);
    const answer = Buffer.concat([header(1), question]);
    answer[2] = 0x81;
    assert.equal(await responder.respond(answer, CLIENT), null);
    assert.equal(await responder.respond(answer.subarray(0, 14), CLIENT), null);
  });

  test('10,000 mutated queries: each gets a readable answer within the limit, or none', async () => {
    const responder = makeResponder(makeZone(), none);
    let seed = 1;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 1;
      return seed % below;
    };
    const names = ['svc1', 'hdls1', 'external', 'nothing'].map(
      (n) => `${n}.testns.svc.cluster.local`,
    );
    const counts = { answered: 0, silent: 0 };
    for (let i = 0; i < 10_000; i++) {
      const base = encode({
        type: 'query',
        id: i,
        questions: [{ name: names[i % 4]!, type: 'A' }],
      });
      for (let edits = random(4) + 1; edits > 0; edits--) base[random(base.length)] = random(256);
      const query = base.subarray(0, base.length - random(3));
      const answer = await responder.respond(query, CLIENT);
      if (answer === null) {
        counts.silent++;
        assert.notEqual(query[2]! & 0x80, 0, 'only answers get no answer');
      } else {
        counts.answered++;
        assert.ok(answer.length <= (hasEdns(query) ? 4096 : 512));
        assert.equal(decode(answer).id, base.readUInt16BE(0));
        assert.equal(decode(answer).type, 'response');
      }
    }
    const { packet } = await ask(responder, 'svc1.testns.svc.cluster.local', 'A');
    assert.equal(packet.answers!.length, 1, 'the server goes on');
    assert.ok(counts.answered > 5000 && counts.silent > 0, JSON.stringify(counts));
  });
});

test('a dynamic update with records is refused, and changes no answer', async () => {
  const zone = makeZone();
  const responder = makeResponder(zone, none);
  const name = 'svc1.testns.svc.cluster.local';
  const forged = { name, type: 'A' as const, ttl: 60, class: 'IN' as const, data: '6.6.6.6' };
  const update = encode({
    ...{ type: 'query', id: 9, flags: 5 << 11 },
    questions: [{ name: 'cluster.local', type: 'SOA' }],
    authorities: [forged],
  });
  const answer = decode((await responder.respond(update, CLIENT))!);
  assert.equal((answer as { rcode?: string }).rcode, 'NOTIMP');
  assert.deepEqual([answer.answers, answer.authorities], [[], []]);
  const { packet } = await ask(responder, name, 'A');
  assert.deepEqual(lines(packet.answers), [`${name} A 5 10.96.40.1`]);
});

test('no answer over UDP exceeds the size that the client accepts, so floods are not amplified', async () => {
  const responder = makeResponder(zoneOf(200), none);
  const big = 'big.testns.svc.cluster.local';
  for (const [name, type, limit] of [
    [big, 'ANY', 100],
    ['cluster.local', 'ANY', 100],
    ['cluster.local', 'AXFR', 100],
    ['cluster.local', 'IXFR', 100],
    [big, 'A', 4096],
    [big, 'SRV', 4096],
  ] as const) {
    for (const edns of [undefined, 512, 1232, 4096, 65_535]) {
      const { bytes } = await ask(responder, name, type, edns === undefined ? {} : { edns });
      const most = Math.min(limit, edns ?? 512);
      assert.ok(bytes.length <= most, `${name} ${type} ${edns}: ${bytes.length} bytes`);
    }
  }
});

test('an unknown version of EDNS is answered with BADVERS', async () => {
  const question = { name: parseName('svc1.testns.svc.cluster.local')!, type: 1, class: 1 };
  const edns = { udpBytes: 1232, version: 1, isSecure: false };
  const sections = { answers: [], authority: [], additional: [] };
  const query = encodeMessage({ id: 1, flags: 0, rcode: 0, question, edns, ...sections }, 512);
  const answer = decode((await makeResponder(makeZone(), none).respond(query, CLIENT))!);
  const option = answer.additionals![0] as { extendedRcode?: number; ednsVersion?: number };
  assert.deepEqual([option.extendedRcode, option.ednsVersion], [1, 0]);
  assert.equal(answer.answers!.length, 0);
});

test('addresses of both families', () => {
  const rows: [text: string, hex: string | null][] = [
    ['10.0.0.1', '0a000001'],
    ['::', '0'.repeat(32)],
    ['::1', `${'0'.repeat(31)}1`],
    ['fd00::1:0:0:7', 'fd000000000000000001000000000007'],
    ['::ffff:1.2.3.4', '00000000000000000000ffff01020304'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['1:2:3:4:5:6:7:8:9', null],
    ['1::2::3', null],
    ['1:2:3:4:5:6:7::8', null],
    ['12345::', null],
    ['::1.2.3.999', null],
    ['', null],
    ['web', null],
  ];
  for (const [text, hex] of rows) {
    const bytes = addressBytes(text);
    assert.equal(bytes && Buffer.from(bytes).toString('hex'), hex, text);
  }
});
