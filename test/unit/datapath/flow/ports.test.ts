import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createArena } from '../../../../datapath/arena/arena.ts';
import { LINE_SHIFT, W_DST, W_META, W_PORTS, W_SRC } from '../../../../datapath/flow/line.ts';
import {
  findSourcePort,
  isReplyFree,
  NO_PORT,
  replyPorts,
  type Tuple,
  withSourcePort,
} from '../../../../datapath/flow/ports.ts';
import { FlowTable } from '../../../../datapath/flow/table.ts';

const [ICMP, TCP, UDP] = [1, 6, 17];
const NODE = 0x0a00_0001;
const SERVER = -0x3400_0001;
const PACKET: Tuple = { src: NODE, dst: SERVER, ports: (5555 << 16) | 80, proto: TCP };

const make = (flowsMax = 32_768) => new FlowTable(createArena({ flowsMax, imageWords: 1024 }, 3));

/** Makes a flow whose reply is the reply to `packet` with source port `port`. */
function take(t: FlowTable, packet: Tuple, port: number): void {
  const flow = t.allocate();
  assert.ok(flow >= 0);
  const reply = replyPorts(withSourcePort(packet.ports, port), packet.proto);
  for (const side of [0, 1]) {
    const at = ((flow << 1) | side) << LINE_SHIFT;
    t.lines[at | W_SRC] = side ? packet.dst : 0x0b00_0000 + flow;
    t.lines[at | W_DST] = side ? packet.src : 1;
    t.lines[at | W_PORTS] = side ? reply : 0;
    t.lines[at | W_META] = packet.proto;
  }
  assert.ok(t.link(flow));
}

test('the reply has swapped ports, also above 32,767', () => {
  assert.equal(replyPorts((60_000 << 16) | 40_000, TCP) >>> 0, 40_000 * 65_536 + 60_000);
  assert.equal(replyPorts(replyPorts(0x9abc_def0 | 0, UDP), UDP), 0x9abc_def0 | 0);
});

test("the reply to an echo request has its identifier and the reply's type", () => {
  assert.equal(replyPorts((0xbeef << 16) | 8, ICMP) >>> 0, 0xbeef_0000);
});

test('another source port keeps the destination port', () => {
  assert.equal(withSourcePort((1 << 16) | 65_535, 65_000) >>> 0, 65_000 * 65_536 + 65_535);
});

test('skips a used port, except for another destination port, host or protocol', () => {
  const t = make();
  take(t, PACKET, 40_000);
  assert.equal(isReplyFree(t, PACKET, withSourcePort(PACKET.ports, 40_000)), false);
  assert.equal(findSourcePort(t, PACKET, 40_000, 1, 0), NO_PORT);
  assert.notEqual(findSourcePort(t, PACKET, 40_000, 2, 0), 40_000);
  const others: Tuple[] = [
    { ...PACKET, ports: (5555 << 16) | 81 },
    { ...PACKET, dst: SERVER + 1 },
    { ...PACKET, proto: UDP },
  ];
  for (const other of others) assert.equal(findSourcePort(t, other, 40_000, 1, 0), 40_000);
});

// The stride must reach every port of the range once, also if it is a multiple of the range's size.
for (const count of [1, 2, 16, 500, 512, 7919, 15_838]) {
  test(`tries as many ports of a range of ${count} as its size and the limit allow`, () => {
    const t = make();
    const seen = new Set<number>();
    for (let n = 0; n < Math.min(count, 512); n++) {
      const port = findSourcePort(t, PACKET, 40_000, count, 0);
      assert.notEqual(port, NO_PORT, `after ${n}`);
      assert.ok(port >= 40_000 && port < 40_000 + count);
      assert.ok(!seen.has(port));
      seen.add(port);
      take(t, PACKET, port);
    }
  });
}

test('gives out every port of a range, and none outside it', () => {
  const t = make();
  const seen = new Set<number>();
  for (let n = 0; n < 300; n++) {
    const port = findSourcePort(t, PACKET, 65_236, 300, n);
    seen.add(port);
    take(t, PACKET, port);
  }
  assert.equal(seen.size, 300);
  assert.deepEqual([Math.min(...seen), Math.max(...seen)], [65_236, 65_535]);
  assert.equal(findSourcePort(t, PACKET, 65_236, 300, 17), NO_PORT);
});
