import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LoopProbe } from '../../../../control/health/loop-probe.ts';
import { H_PROBE_ADDRESS, H_PROBE_KEY } from '../../../../datapath/arena/layout.ts';
import { formatAddress } from '../../../../datapath/wire/address.ts';
import { FakeClock } from '../../../support/clock.ts';
import { createTestDatapath, NODE } from '../../../support/datapath.ts';
import { udp4 } from '../../../support/packets.ts';

/** A probe whose packets reach a real datapath if `road.isOpen`. */
function world(road: { isOpen: boolean; error?: string; address?: string }) {
  const clock = new FakeClock(1000);
  const t = createTestDatapath();
  const { header } = t.d;
  const sent: string[] = [];
  const probe = new LoopProbe({
    ...{ header, clock, address: () => road.address ?? '10.244.1.0' },
    send(payload, address, onFailed) {
      sent.push(address);
      if (road.error) onFailed(road.error);
      else if (road.isOpen) t.one(udp4(`${NODE}:33000`, `${address}:9`, [...payload]));
    },
  });
  return { clock, header, probe, sent };
}

test('is healthy while the loop sees one probe a second', () => {
  const { clock, header, probe, sent } = world({ isOpen: true });
  clock.advance(10_000);
  assert.equal(probe.check(clock.monotonicMs()), null);
  assert.equal(sent.length, 11);
  probe.stop();
  assert.deepEqual([clock.waiting, header[H_PROBE_KEY]], [0, 0]);
});

test('is unhealthy after ten lost probes in a row, and healthy after the next that arrives', () => {
  const road = { isOpen: true };
  const { clock, probe } = world(road);
  clock.advance(3000);
  road.isOpen = false;
  clock.advance(1000);
  assert.equal(probe.check(clock.monotonicMs()), null, 'one lost packet is tolerated');
  clock.advance(2750);
  assert.equal(probe.check(clock.monotonicMs()), null, 'nine lost packets are tolerated');
  clock.advance(250);
  const reason = '10 probes in a row did not come through the device';
  assert.deepEqual(probe.check(clock.monotonicMs()), { reason, sinceMs: 5000 });
  road.isOpen = true;
  clock.advance(250);
  assert.equal(probe.check(clock.monotonicMs()), null);
});

test('a process that was stopped for a long time is still healthy', () => {
  const { clock, probe } = world({ isOpen: true });
  clock.advance(1000);
  // A stopped process runs a late timer once.
  assert.equal(probe.check(clock.monotonicMs() + 60_000), null);
});

test('reports why a probe cannot be sent, and uses the new address', () => {
  const road = { isOpen: true, error: 'send ENETUNREACH', address: '10.244.0.0' };
  const { clock, header, probe } = world(road);
  clock.advance(10_000);
  const { reason = '' } = probe.check(clock.monotonicMs()) ?? {};
  assert.match(reason, /did not come through the device; sending fails: send ENETUNREACH$/);
  road.error = '';
  road.address = '10.200.0.0';
  clock.advance(250);
  assert.equal(formatAddress(header[H_PROBE_ADDRESS]!), '10.200.0.0');
  assert.equal(probe.check(clock.monotonicMs()), null);
});
