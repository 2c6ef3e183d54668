import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { craft, words } from './craft.ts';
import { decidedBy, withoutDecided } from './decided.ts';
import { describePacket, PortNames } from './describe.ts';
import type { Difference } from './entry.ts';
import { Reassembly } from './pieces.ts';
import { ROUTES } from './routes.ts';
import { makeSequence, SEQUENCES_IN_CI } from './run.ts';
import { DAMAGES, type Piece, STEPS_MAX, type Step } from './walk.ts';

const ENDS = { src: words('10.0.0.1'), sport: 10_000, dst: words('10.0.0.2'), dport: 80 };

describe('walks', () => {
  test('a seed always gives the same walk, and another seed gives a different one', () => {
    const text = (seed: number) => JSON.stringify(makeSequence(seed, 'egress').steps);
    assert.equal(text(7), text(7));
    assert.notEqual(text(7), text(8));
  });

  test('covers every route and every kind of packet', () => {
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

  test('the sequences of the end-to-end test take every route with every kind of packet', () => {
    const all = Array.from({ length: SEQUENCES_IN_CI }, (_, i) => makeSequence(1 + i));
    const met = new Set(
      all.flatMap(({ route, steps }) =>
        steps.flatMap(({ kind, pieces, damage }) => [
          `${route.name} ${pieces ? 'pieces' : kind}`,
          `damage ${damage}`,
        ]),
      ),
    );
    const kinds = ['tcp', 'udp', 'echo', 'icmp', 'pieces'];
    const wanted = ROUTES.flatMap(({ name }) => kinds.map((kind) => `${name} ${kind}`));
    wanted.push(...DAMAGES.map(([, damage]) => `damage ${damage}`));
    assert.deepEqual(
      wanted.filter((one) => !met.has(one)),
      [],
    );
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

  test('reassemble in any order, and copies are ignored', () => {
    const whole = take([
      [32, 8, true],
      [0, 16, false],
      [0, 16, false],
      [16, 16, false],
    ]);
    assert.deepEqual(whole.slice(0, 3), [null, null, null]);
    const names = new PortNames([10_000], [80]);
    const text = describePacket(whole[3]!, names, true);
    assert.match(text, /len=60 off=0 .*udp client0>80 length=40 {2}32 bytes/);
  });

  test('an overlap discards the datagram', () => {
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
  const difference = (
    steps: Step[],
    kubetun: string[],
    kernel: string[],
    more: Partial<Difference> = {},
  ): Difference => ({
    ...{ sequence: { ...sequence, steps }, step: steps.length - 1, kind: 'packets' },
    ...{ kubetun, kernel, decided: null, flows: steps.map(() => []), ...more },
  });
  const segment = (from: 'client' | 'server', flags: number, seq: number, ack = 0): Step => ({
    ...{ kind: 'tcp', from, flags, seq, ack, data: 0 },
  });
  const flow = (state: string) =>
    `node1 tcp 10.244.1.2:client0>10.96.1.1:80 reply 10.244.2.2:8080>10.244.1.2:client0 ${state}`;
  const OPEN = [segment('client', 2, 99), segment('server', 18, 499, 100)];
  const STATES = [[], [flow('SYN_SENT')]];

  test('another endpoint, another TTL and a lost packet are differences', () => {
    const udp: Step = { kind: 'udp', from: 'client', data: 1 };
    const line = 'c: 10.244.1.2>10.244.2.2 ttl=62 tos=0 len=29 off=0 id=1 udp client0>8080';
    for (const other of [line.replace('2.2', '2.3'), line.replace('62', '61')]) {
      const left = withoutDecided(difference([udp], [line], [other]));
      assert.notDeepEqual(left.kubetun, left.kernel);
      assert.equal(decidedBy(left), null);
    }
    assert.equal(decidedBy(difference([udp], [], [line])), null);
  });

  test('accepts that the kernel alone refuses a segment that is invalid in its state', () => {
    const steps = [...OPEN, segment('client', 17, 100, 500)];
    const passed = ['c: 10.244.1.2>10.244.2.2 ttl=62 id=3 tcp client0>8080 flags=17'];
    const refused = [
      'a: 10.96.1.1>10.244.1.2 ttl=* made tcp 80>client0 seq=1 ack=0 flags=4 window=0',
    ];
    const at = (state: string) => ({ flows: [...STATES, [flow(state)]] });
    assert.equal(decidedBy(difference(steps, passed, refused, at('SYN_SENT'))), 'invalid-state');
    assert.equal(decidedBy(difference(steps, passed, refused, at('ESTABLISHED'))), null);
    assert.equal(decidedBy(difference(steps, refused, passed, at('SYN_SENT'))), null);
  });

  test('accepts that an RST with an inexact number closes a flow in the kernel alone', () => {
    const fate = (seq: number) =>
      decidedBy(
        difference([...OPEN, segment('client', 4, seq)], [flow('SYN_RECV')], [flow('CLOSE')], {
          ...{ kind: 'flows', flows: [...STATES, [flow('SYN_RECV')]] },
        }),
      );
    assert.equal(fate(70_100), 'implausible-rst');
    assert.equal(fate(100), null);
  });

  test('accepts that an RST closes a flow in the kernel alone if both ends opened connections', () => {
    const own =
      'node2 tcp 10.244.2.2:8080>10.244.1.2:client0 reply 10.244.1.2:client0>10.244.2.2:8080 SYN_SENT';
    const fate = (...others: string[]) => {
      const steps = [segment('server', 2, 499), OPEN[0]!, segment('server', 4, 500)];
      const flows = [[], others, [flow('SYN_SENT'), ...others]];
      const at = { kind: 'flows', flows } as const;
      return decidedBy(difference(steps, [flow('SYN_SENT'), ...others], others, at));
    };
    assert.equal(fate(own), 'implausible-rst');
    assert.equal(fate(), 'implausible-rst');
    const bySyn = difference([OPEN[0]!, segment('server', 20, 0, 100)], [flow('SYN_SENT')], [], {
      ...{ kind: 'flows', flows: STATES },
    });
    assert.equal(decidedBy(bySyn), null);
  });

  test('accepts that an RST closes here alone if it acknowledges the last segment of its peer', () => {
    const fate = (ack: number) => {
      const steps = [...OPEN, segment('server', 16, 500, 7), segment('client', 20, 7, ack)];
      const flows = [...STATES, [flow('renewed=1 SYN_RECV')], [flow('renewed=2 SYN_RECV')]];
      const at = { kind: 'flows', flows } as const;
      const [closed, kept] = [flow('renewed=3 CLOSE'), flow('renewed=3 SYN_RECV')];
      return decidedBy(difference(steps, [closed], [kept], at));
    };
    assert.equal(fate(500), 'implausible-rst');
    assert.equal(fate(501), null);
  });

  test('accepts that the answer to an invalid segment ends flows in the kernel alone', () => {
    const steps = [segment('client', 16, 100, 500), segment('client', 18, 100, 501)];
    const flows = [[], [flow('ESTABLISHED')]];
    const fate = (kubetun: string[], kernel: string[], sent = steps) =>
      decidedBy(difference(sent, kubetun, kernel, { kind: 'flows', flows }));
    assert.equal(fate([flow('ESTABLISHED')], []), 'invalid-refused');
    assert.equal(fate([], [flow('ESTABLISHED')]), null);
    const valid = [steps[0]!, segment('client', 16, 100, 500)];
    assert.equal(fate([flow('ESTABLISHED')], [], valid), null);
  });

  test('accepts that the answer to an acknowledgement leap ends flows in the kernel alone', () => {
    const fate = (first: number, last: number) => {
      const numbered = (ack: number) => ({ ...segment('client', 16, 100), ack });
      const flows = [[], [flow('ESTABLISHED')]];
      const at = { kind: 'flows', flows } as const;
      const steps = [numbered(first), numbered(last)];
      return decidedBy(difference(steps, [flow('ESTABLISHED')], [], at));
    };
    assert.equal(fate(1_300_000_000, 1_100_000_000), 'invalid-refused');
    assert.equal(fate(100, 100 + 2 ** 24), 'invalid-refused');
    assert.equal(fate(100, 100 + 2 ** 24 - 1), null);
  });

  test('a complete fragmented datagram must arrive, in any order and with copies', () => {
    const fate = (...pieces: Piece[]) => {
      const udp: Step = { kind: 'udp', from: 'client', data: 24, pieces };
      return decidedBy(difference([udp], [], ['c: 10.244.1.2>10.244.2.2 id=1 udp']));
    };
    const [first, second]: Piece[] = [
      [0, 16, false],
      [16, 16, true],
    ];
    assert.equal(fate(second!, first!), null);
    assert.equal(fate(first!, second!, first!), null);
    assert.equal(fate(first!), 'incomplete-datagram');
    assert.equal(fate(first!, [8, 24, true]), 'incomplete-datagram');
  });

  test('an error that quotes a packet of a flow must arrive', () => {
    const error = (quote: 'received' | 'none'): Step => ({
      ...{ kind: 'icmp', from: 'server', type: 3, code: 1, word: 0, quote, quoteBytes: 28 },
    });
    const line = (quote: string) => [`a: 10.244.2.2>10.244.1.2 id=1 icmp 3/1 quote[${quote}]`];
    const atServer =
      'node2 tcp 10.244.1.2:client0>10.244.2.2:8080 reply 10.244.2.2:8080>10.244.1.2:client0 ESTABLISHED';
    const fate = (step: Step, quote: string) =>
      decidedBy(difference([step], line(quote), [], { flows: [[atServer]] }));
    assert.equal(fate(error('none'), ''), 'unrelated-error');
    assert.equal(fate(error('received'), '10.244.1.2>10.244.2.2 proto=6 client0>8080'), null);
  });

  test('an error from outside may be lost after a segment that the kernel refuses', () => {
    const outside = makeSequence(1, 'internet-nodeport');
    const error: Step = {
      ...{ kind: 'icmp', from: 'client', type: 11, code: 0, word: 0 },
      ...{ quote: 'received', quoteBytes: 28 },
    };
    const line =
      'c: 172.18.0.11>10.244.2.2 ttl=61 id=4 icmp 11/0 word=0 quote[10.244.2.2>172.18.0.11 proto=6 8080>chosen0]';
    const fate = (flags: number) => {
      const steps = [segment('client', 2, 99), segment('client', flags, 100), OPEN[1]!, error];
      const flows = [[], [flow('SYN_SENT')], [flow('SYN_SENT')], [flow('SYN_RECV')]];
      const at = difference(steps, [line], [], { flows });
      return decidedBy({ ...at, sequence: { ...outside, steps } });
    };
    assert.equal(fate(16), 'unrelated-error');
    assert.equal(fate(0), 'unrelated-error');
    assert.equal(fate(2), null);
  });
});
