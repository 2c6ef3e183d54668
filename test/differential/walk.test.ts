import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { craft, words } from './craft.ts';
import { decidedBy, withoutDecided } from './decided.ts';
import { describePacket, PortNames } from './describe.ts';
import { Reassembly } from './pieces.ts';
import { ROUTES } from './routes.ts';
import { makeSequence } from './run.ts';
import { type Piece, STEPS_MAX, type Step } from './walk.ts';

const ENDS = { src: words('10.0.0.1'), sport: 10_000, dst: words('10.0.0.2'), dport: 80 };

describe('walks', () => {
  test('a seed gives the same walk each time, another seed another', () => {
    const text = (seed: number) => JSON.stringify(makeSequence(seed, 'egress').steps);
    assert.equal(text(7), text(7));
    assert.notEqual(text(7), text(8));
  });

  test('every route has its turn, and every kind of packet occurs', () => {
    const all = Array.from({ length: 2000 }, (_, seed) => makeSequence(seed));
    assert.deepEqual(new Set(all.map(({ route }) => route.name)).size, ROUTES.length);
    const steps = all.flatMap((sequence) => sequence.steps);
    assert.deepEqual(
      new Set(steps.map(({ kind }) => kind)),
      new Set(['tcp', 'udp', 'echo', 'icmp']),
    );
    for (const part of ['pieces', 'options', 'damage', 'idOf', 'other'] as const) {
      assert.ok(
        steps.some((step) => step[part] !== undefined && step[part] !== false),
        part,
      );
    }
    assert.ok(all.every(({ steps: { length } }) => length > 0 && length <= STEPS_MAX));
  });
});

describe('pieces', () => {
  const datagram = (pieces: Piece[]) => {
    const step: Step = { kind: 'udp', from: 'client', data: 32, pieces, df: false };
    return craft(step, ENDS, 17, null);
  };
  const take = (pieces: Piece[]) => {
    const all = new Reassembly();
    return datagram(pieces).map((piece) => all.take(piece));
  };

  test('come together in any order, copies ignored', () => {
    const whole = take([
      [32, 8, true],
      [0, 16, false],
      [0, 16, false],
      [16, 16, false],
    ]);
    assert.deepEqual(whole.slice(0, 3), [null, null, null]);
    const names = new PortNames([10_000], [80]);
    const text = describePacket(whole[3]!, names, () => true);
    assert.match(text, /len=60 off=0 .*udp client0>80 length=40 {2}32 bytes/);
  });

  test('an overlap throws the datagram away', () => {
    const whole = take([
      [0, 16, false],
      [8, 16, false],
      [16, 24, true],
    ]);
    assert.deepEqual(whole, [null, null, null]);
  });
});

describe('decisions', () => {
  const sequence = makeSequence(1, 'pod-service-remote');
  const difference = (step: Step, kubetun: string[], kernel: string[]) => ({
    ...{ sequence: { ...sequence, steps: [step] }, step: 0, kind: 'packets' as const },
    ...{ kubetun, kernel },
  });
  const udp: Step = { kind: 'udp', from: 'client', data: 1 };

  test('another endpoint, another TTL and a lost packet are differences', () => {
    const line = 'c: 10.244.1.2>10.244.2.2 ttl=62 tos=0 len=29 off=0 id=1 udp client0>8080';
    for (const other of [line.replace('2.2', '2.3'), line.replace('62', '61')]) {
      const left = withoutDecided(difference(udp, [line], [other]));
      assert.notDeepEqual(left.kubetun, left.kernel);
      assert.equal(decidedBy(left), null);
    }
    assert.equal(decidedBy(difference(udp, [], [line])), null);
  });

  test('the kernel may refuse what does not fit its state, the datapath may not', () => {
    const fin: Step = { kind: 'tcp', from: 'client', flags: 17, seq: 1, ack: 1, data: 0 };
    const passed = ['c: 10.244.1.2>10.244.2.2 ttl=62 id=1 tcp client0>8080 flags=17'];
    const refused = [
      'a: 10.96.1.1>10.244.1.2 ttl=* made tcp 80>client0 seq=1 ack=0 flags=4 window=0',
    ];
    assert.equal(decidedBy(difference(fin, passed, refused)), 'invalid-state');
    assert.equal(decidedBy(difference(fin, refused, passed)), null);
  });
});
