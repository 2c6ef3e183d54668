// Asks a datapath about a packet of a known connection.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prober } from '../../../../datapath/observe/probe.ts';
import { PROTO_TCP } from '../../../../datapath/wire/ipv4.ts';
import {
  addr,
  BACKEND,
  change,
  createTestDatapath,
  POD,
  pairs,
  service,
  VIP,
} from '../../../support/datapath.ts';
import { ACK, RST, SYN, tcp4 } from '../../../support/packets.ts';

const NEW = '10.244.2.8';
const TUPLE = { proto: PROTO_TCP, src: addr(POD), sport: 4000, dst: addr(VIP), dport: 80 };

test('a probe of a closed connection shows the new flow that replaces it, each time', () => {
  const t = createTestDatapath();
  t.one(tcp4(`${POD}:4000`, `${VIP}:80`, SYN, [], { seq: 999 }));
  t.one(tcp4(`${BACKEND}:8080`, `${POD}:4000`, SYN | ACK, [], { seq: 99, ack: 1000 }));
  const known = new Prober(t.d.arena, 5).ask(TUPLE);
  assert.deepEqual(
    [known.reason, known.chosenBy, known.left?.dst],
    ['flow', 'flow', addr(BACKEND)],
  );
  t.one(tcp4(`${POD}:4000`, `${VIP}:80`, RST, [], { seq: 1000 }));
  t.writer.publish(change({ upsert: [service(1, { cluster: pairs(`${NEW}:8080`) })] }));
  const prober = new Prober(t.d.arena, 5);
  for (let n = 0; n < 2; n++) {
    const { reason, chosenBy, left, eligible } = prober.ask(TUPLE);
    assert.deepEqual([reason, chosenBy, left?.dst], ['service', 'only', addr(NEW)]);
    assert.equal(eligible.length, 2);
    assert.equal(prober.knows(TUPLE), false, 'the probe leaves no flow');
  }
});
