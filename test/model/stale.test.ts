// UDP clients keep their ports while endpoints change at random. A naive model says where each one
// goes: a serving endpoint keeps its clients, another one loses them at their next datagram, and
// new clients go only to eligible endpoints.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PROTO_UDP } from '../../datapath/wire/ipv4.ts';
import { change, createTestDatapath, pairs, service, VIP } from '../support/datapath.ts';
import { udp4 } from '../support/packets.ts';

const ADDRESSES = Array.from({ length: 6 }, (_, i) => `10.244.2.${i + 10}`);
const CLIENTS = 40;
const STEPS = 3000;

/** Seeded random numbers in [0, 1). */
function randomOf(seed: number): () => number {
  let x = seed;
  return () => {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) | 0;
    return (x >>> 8) / 2 ** 24;
  };
}

for (const seed of [1, 2, 3, 4]) {
  test(`clients reach the endpoints that the rules give after any change: seed ${seed}`, () => {
    const random = randomOf(seed);
    const pick = (below: number) => Math.floor(random() * below);
    const t = createTestDatapath();
    t.d.refusals.enabled = false;
    let eligible: string[] = [];
    let serving = new Set<string>();
    /** Expected endpoint of each client. Absent without an endpoint or a datagram. */
    const places = new Map<number, string>();
    let moved = 0;
    const publish = () => {
      eligible = ADDRESSES.filter(() => random() < 0.4);
      const others = ADDRESSES.filter((a) => !eligible.includes(a) && random() < 0.3);
      serving = new Set([...eligible, ...others]);
      const toPairs = (list: string[]) => pairs(...list.map((a) => `${a}:5353`));
      const about = { name: 'default/dns:53', proto: PROTO_UDP };
      const entry = service(2, { ...about, cluster: toPairs(eligible), serving: toPairs(others) });
      t.writer.publish(change({ upsert: [entry] }));
    };
    publish();
    for (let step = 0; step < STEPS; step++) {
      if (pick(20) === 0) publish();
      if (pick(30) === 0) {
        // A scan of the whole table removes flows of endpoints that do not serve, even of silent
        // clients.
        t.tick(t.now + 100);
        for (const [client, place] of places) if (!serving.has(place)) places.delete(client);
        assert.equal(t.writer.flowsOf(2), places.size);
      }
      const client = pick(CLIENTS);
      const { verdict, packet } = t.one(udp4(`10.244.1.9:${4000 + client}`, `${VIP}:53`, [1]));
      const before = places.get(client);
      if (before !== undefined && serving.has(before)) {
        assert.deepEqual([verdict, packet.dst], ['forward', before], 'it stays');
        continue;
      }
      if (before !== undefined) moved++;
      places.delete(client);
      if (eligible.length === 0) {
        assert.equal(verdict, 'reply');
        continue;
      }
      assert.equal(verdict, 'forward');
      assert.ok(eligible.includes(packet.dst), `${packet.dst} of ${eligible}`);
      places.set(client, packet.dst);
    }
    assert.ok(moved > 100, `${moved} moves`);
  });
}
