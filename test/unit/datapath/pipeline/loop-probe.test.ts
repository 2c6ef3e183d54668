import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  H_PROBE_ADDRESS,
  H_PROBE_KEY,
  H_PROBE_SEEN,
  H_TRACE_UNTIL,
  H_TRACE_WRITTEN,
} from '../../../../datapath/arena/layout.ts';
import { COUNT_BATCHES } from '../../../../datapath/pipeline/verdict.ts';
import {
  addr,
  createTestDatapath,
  NODE,
  POD,
  type TestDatapath,
} from '../../../support/datapath.ts';
import { udp4 } from '../../../support/packets.ts';

const TO = '10.244.1.0';
const KEY = [0x12, 0x34, 0x56, 0x78];
const number = (n: number) => [0, 0, 0, n];

function aimed(key: number): TestDatapath {
  const t = createTestDatapath();
  t.d.header[H_PROBE_ADDRESS] = addr(TO);
  t.d.header[H_PROBE_KEY] = key;
  return t;
}

test('a probe is answered in the arena, without packet, flow, drop or trace', () => {
  const t = aimed(0x12345678);
  t.d.header[H_TRACE_UNTIL] = 1_000_000;
  const counters = t.d.counters.slice();
  const { verdict } = t.one(udp4(`${NODE}:33000`, `${TO}:9`, [...KEY, ...number(7)]));
  assert.equal(verdict, 'probe');
  assert.equal(t.d.header[H_PROBE_SEEN], 7);
  counters[COUNT_BATCHES]!++;
  assert.deepEqual(t.d.counters, counters, 'only the batch is counted');
  assert.deepEqual([t.d.header[H_TRACE_WRITTEN], t.counter('packets')], [0, 0]);
});

const OTHERS: [what: string, key: number, payload: number[]][] = [
  ['with another key', 0x12345678, [0, 0, 0, 1, ...number(7)]],
  ['of another length', 0x12345678, [...KEY, ...number(7), 0]],
  ['without a payload', 0x12345678, []],
  ['while no agent probes', 0, [0, 0, 0, 0, ...number(7)]],
];
for (const [what, key, payload] of OTHERS) {
  test(`a packet to the probe's address ${what} passes all stages`, () => {
    const t = aimed(key);
    const { verdict } = t.one(udp4(`${POD}:33000`, `${TO}:9`, payload));
    assert.equal(verdict, 'forward');
    assert.equal(t.d.header[H_PROBE_SEEN], 0);
    assert.deepEqual([t.counter('forwarded'), t.counter('packets')], [1, 1]);
  });
}
