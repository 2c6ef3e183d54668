// Compares incremental checksums with full ones, through every rewrite of the pipeline.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addSums, deltaOfWord, patchFull } from '../../datapath/wire/checksum.ts';
import { createTestDatapath, NODE, OUTSIDE, VIP } from '../support/datapath.ts';
import { ACK, echo4, SYN, sum16, tcp4, udp4 } from '../support/packets.ts';

const byte = fc.integer({ min: 0, max: 255 });
const pod = fc
  .tuple(fc.constantFrom(1, 2), fc.integer({ min: 2, max: 254 }))
  .map(([n, i]) => `10.244.${n}.${i}`);
const port = fc.integer({ min: 1024, max: 65_535 });
const payload = fc.array(byte, { maxLength: 40 });
const options = fc.constantFrom<number[]>([], [1, 1, 1, 1], [7, 3, 4, 0], [1, 1, 1, 0, 1, 1, 1, 0]);
const ttl = fc.integer({ min: 1, max: 255 });

test('an incrementally updated checksum equals the checksum of the new words', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer(), { minLength: 2, maxLength: 12 }),
      fc.nat(),
      fc.integer(),
      (words, where, now) => {
        const bytes = (list: number[]) =>
          list.flatMap((w) => [24, 16, 8, 0].map((s) => (w >>> s) & 255));
        const changed = [...words];
        const at = where % words.length;
        changed[at] = now;
        const delta = addSums(deltaOfWord(words[at]!, now), 0);
        const patched = patchFull(0xffff - sum16(bytes(words)), delta);
        // Zero has two forms, which are equal to a receiver.
        assert.equal(patched % 0xffff, (0xffff - sum16(bytes(changed))) % 0xffff);
      },
    ),
    { numRuns: 2000 },
  );
});

test('packets leave the pipeline with correct full or partial checksums in both directions', () => {
  fc.assert(
    fc.property(
      fc.record({
        client: pod,
        sport: port,
        payload,
        options,
        ttl,
        partial: fc.boolean(),
        noSum: fc.boolean(),
        to: fc.constantFrom('vip', 'nodeport', 'outside', 'pod', 'self'),
        proto: fc.constantFrom('tcp', 'udp', 'icmp'),
      }),
      (c) => {
        const t = createTestDatapath();
        const targets = {
          vip: c.proto === 'udp' ? `${VIP}:53` : `${VIP}:80`,
          nodeport: `${NODE}:30080`,
          outside: `${OUTSIDE}:80`,
          pod: '10.244.2.77:80',
          self: `${VIP}:80`,
        };
        const to = targets[c.to];
        // A datagram without a checksum has no partial one.
        const noSum = c.noSum && !c.partial;
        const o = { ttl: c.ttl, options: c.options, partial: c.partial, noSum };
        const make = (from: string, dst: string, flags: number, extra: object = {}) => {
          if (c.proto === 'tcp') return tcp4(from, dst, flags, c.payload, { ...o, ...extra });
          if (c.proto === 'udp') return udp4(from, dst, c.payload, { ...o, ...extra });
          return echo4(from.split(':')[0]!, dst.split(':')[0]!, c.sport, flags !== SYN);
        };
        const sent = t.one(make(`${c.client}:${c.sport}`, to, SYN, { seq: 99 }));
        assert.ok(sent.packet.ipOk, 'IPv4 header');
        assert.ok(sent.packet.l4Ok, `transport of ${sent.verdict}`);
        if (sent.verdict !== 'forward') return;
        const { src, dst, sport, dport } = sent.packet;
        const [from, back] = [`${dst}:${dport}`, `${src}:${sport}`];
        const reply =
          c.proto === 'icmp'
            ? echo4(dst, src, (sent.packet.payload.length && idOf(sent.frame)) || 0, true)
            : make(from, back, SYN | ACK, { seq: 7, ack: 100 });
        const answered = t.one(reply);
        assert.equal(answered.verdict, 'forward');
        assert.ok(answered.packet.ipOk, 'IPv4 header of the reply');
        assert.ok(answered.packet.l4Ok, 'transport of the reply');
        // The client sees the answer from the address that it sent to.
        assert.equal(answered.packet.src, to.split(':')[0]);
        assert.equal(answered.packet.dst, c.client);
        if (c.proto !== 'icmp') {
          assert.equal(answered.packet.sport, Number(to.split(':')[1]));
          assert.equal(answered.packet.dport, c.sport);
        }
      },
    ),
    { numRuns: 3000 },
  );
});

/** Identifier of an ICMP echo frame. */
function idOf(frame: Uint8Array): number {
  const l4 = 10 + (frame[10]! & 15) * 4;
  return frame[l4 + 4]! * 256 + frame[l4 + 5]!;
}
