import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  FRONTEND_CLUSTER,
  FRONTEND_EXTERNAL,
  FRONTEND_NODEPORT,
} from '../../../../datapath/image/image.ts';
import { Prober } from '../../../../datapath/observe/probe.ts';
import { PROTO_SCTP, PROTO_UDP } from '../../../../datapath/wire/ipv4.ts';
import {
  addr,
  change,
  createTestDatapath,
  frontend,
  NODE,
  OUTSIDE,
  POD,
  pairs,
  service,
  type TestDatapath,
  VIP,
} from '../../../support/datapath.ts';
import { ACK, ip4, SYN, tcp4, udp4 } from '../../../support/packets.ts';

const OLD = '10.244.2.7';
const NEW = '10.244.2.8';
const NO_PAIRS = new Int32Array(0);

/** Sets the endpoints of the UDP Service `dns`; `serving` ones keep their flows. */
const lead = (t: TestDatapath, endpoints: string[], serving: string[] = []) =>
  t.writer.publish(
    change({
      upsert: [
        service(2, {
          ...{ name: 'default/dns:53', proto: PROTO_UDP },
          cluster: pairs(...endpoints.map((address) => `${address}:5353`)),
          serving: pairs(...serving.map((address) => `${address}:5353`)),
        }),
      ],
    }),
  );

const query = (from = `${POD}:4000`, to = `${VIP}:53`) => udp4(from, to, [1, 2, 3, 4]);
const answer = (from: string) => udp4(`${from}:5353`, `${POD}:4000`, [5, 6]);
const flows = (t: TestDatapath) => t.counter('flows-made') - t.counter('flows-stale');

test('a client with a fixed port moves to the new endpoint at its next datagram, stream or not', () => {
  const t = createTestDatapath();
  for (let n = 0; n < 3; n++) {
    assert.equal(t.one(query()).packet.dst, OLD);
    t.one(answer(OLD));
    t.now += 1500;
  }
  lead(t, [NEW]);
  const moved = t.one(query());
  assert.deepEqual([moved.verdict, moved.packet.dst, moved.packet.l4Ok], ['forward', NEW, true]);
  assert.deepEqual([t.counter('flows-stale'), t.counter('flows-made')], [1, 2]);
  const back = t.one(answer(NEW)).packet;
  assert.deepEqual([back.src, back.sport, back.dport], [VIP, 53, 4000]);
  assert.equal(t.one(query()).packet.dst, NEW);
  assert.equal(t.counter('flows-stale'), 1);
});

test('a client of a NodePort moves as well', () => {
  const t = createTestDatapath();
  const to = `${NODE}:30053`;
  t.writer.publish(change({ addFrontends: [frontend(to, 2, FRONTEND_NODEPORT, PROTO_UDP)] }));
  const send = () => t.one(query(`${OUTSIDE}:7000`, to)).packet;
  assert.deepEqual([send().dst, send().src], [OLD, NODE]);
  lead(t, [NEW]);
  assert.deepEqual([send().dst, send().src], [NEW, NODE]);
});

test('flows of other endpoints, other Services and an unchanged image stay', () => {
  const t = createTestDatapath();
  t.one(query());
  lead(t, [NEW, OLD]);
  t.writer.publish(change({ upsert: [service(1, { cluster: pairs(`${NEW}:8080`) })] }));
  for (let n = 0; n < 10; n++) assert.equal(t.one(query()).packet.dst, OLD);
  t.tick(t.now + 100);
  assert.equal(t.counter('flows-stale'), 0);
});

test('an endpoint that terminates and serves keeps its flows and gets no new ones', () => {
  const t = createTestDatapath();
  t.one(query());
  lead(t, [NEW], [OLD]);
  assert.equal(t.one(query()).packet.dst, OLD);
  for (let port = 5000; port < 5020; port++) {
    assert.equal(t.one(query(`${POD}:${port}`)).packet.dst, NEW);
  }
  lead(t, [NEW]);
  assert.equal(t.one(query()).packet.dst, NEW);
});

test('refuses a flow whose last endpoint is gone, and drops one whose Service is gone', () => {
  const t = createTestDatapath();
  t.one(query());
  lead(t, []);
  assert.equal(t.one(query()).verdict, 'reply');
  lead(t, [OLD]);
  assert.equal(t.one(query()).packet.dst, OLD);
  const gone = frontend(`${VIP}:53`, 2, FRONTEND_CLUSTER, PROTO_UDP);
  t.writer.publish(change({ remove: [2], removeFrontends: [gone] }));
  assert.equal(t.one(query()).verdict, 'reply', 'another port of the address');
  assert.equal(flows(t), 0);
});

test('a flow to an address that another Service took over moves to that Service', () => {
  const t = createTestDatapath();
  t.one(query());
  t.writer.publish(
    change({
      upsert: [
        service(7, {
          name: 'default/other:53',
          proto: PROTO_UDP,
          cluster: pairs(`${NEW}:5353`, `${OLD}:1`),
        }),
      ],
      removeFrontends: [frontend(`${VIP}:53`, 2, FRONTEND_CLUSTER, PROTO_UDP)],
      addFrontends: [frontend(`${VIP}:53`, 7, FRONTEND_CLUSTER, PROTO_UDP)],
    }),
  );
  assert.notEqual(t.one(query()).packet.dport, 53);
  assert.equal(t.counter('flows-stale'), 1);
});

test('a flow from before the Service moves to the Service', () => {
  const t = createTestDatapath();
  const to = '192.0.2.50:53';
  assert.equal(t.one(query(`${POD}:4000`, to)).packet.dst, '192.0.2.50');
  t.writer.publish(change({ addFrontends: [frontend(to, 2, FRONTEND_EXTERNAL, PROTO_UDP)] }));
  assert.equal(t.one(query(`${POD}:4000`, to)).packet.dst, OLD);
});

test('stale flows of silent clients end too, a slice at a time, and no other flows', () => {
  const t = createTestDatapath({ flowsMax: 8192 });
  for (let n = 0; n < 3000; n++) t.one(query(`10.244.1.${n % 200}:${6000 + n}`));
  for (let n = 0; n < 3000; n++) t.one(query(`10.244.1.${n % 200}:${6000 + n}`, `${OLD}:9`));
  lead(t, [NEW]);
  t.tick(t.now + 100);
  const first = t.counter('flows-stale');
  assert.ok(first > 0 && first <= 2048, `${first} at once`);
  for (let n = 0; n < 3; n++) t.tick(t.now + 100);
  assert.equal(t.counter('flows-stale'), 3000);
  assert.equal(flows(t), 3000);
});

test('TCP and SCTP flows stay', () => {
  const t = createTestDatapath();
  const sctp = (from: string, to: string) => {
    const [src, sport] = from.split(':') as [string, string];
    const [dst, dport] = to.split(':') as [string, string];
    const ports = [sport, dport].flatMap((p) => [Number(p) >> 8, Number(p) & 255]);
    return ip4(src, dst, PROTO_SCTP, [...ports, 0, 0, 0, 0, 0, 0, 0, 0]);
  };
  t.writer.publish(
    change({
      upsert: [
        service(8, { name: 'default/sig:7', proto: PROTO_SCTP, cluster: pairs(`${OLD}:7`) }),
      ],
      addFrontends: [frontend(`${VIP}:7`, 8, FRONTEND_CLUSTER, PROTO_SCTP)],
    }),
  );
  t.one(tcp4(`${POD}:5000`, `${VIP}:80`, SYN, [], { seq: 1 }));
  t.one(tcp4(`${OLD}:8080`, `${POD}:5000`, SYN | ACK, [], { seq: 9, ack: 2 }));
  t.one(sctp(`${POD}:5000`, `${VIP}:7`));
  t.writer.publish(
    change({
      upsert: [
        service(1, { cluster: NO_PAIRS }),
        service(8, { name: 'default/sig:7', proto: PROTO_SCTP, cluster: pairs(`${NEW}:7`) }),
      ],
    }),
  );
  t.tick(t.now + 100);
  assert.equal(
    t.one(tcp4(`${POD}:5000`, `${VIP}:80`, ACK, [], { seq: 2, ack: 10 })).packet.dst,
    OLD,
  );
  assert.equal(t.one(sctp(`${POD}:5000`, `${VIP}:7`)).packet.dst, OLD);
  assert.equal(t.counter('flows-stale'), 0);
});

test('an unanswered SYN goes to another endpoint when its endpoint is gone', () => {
  const t = createTestDatapath();
  const syn = () => t.one(tcp4(`${POD}:5000`, `${VIP}:80`, SYN, [], { seq: 7 }));
  assert.equal(syn().packet.dst, OLD);
  assert.equal(syn().packet.dst, OLD);
  assert.equal(t.counter('flows-made'), 1);
  t.writer.publish(change({ upsert: [service(1, { cluster: pairs(`${NEW}:8080`) })] }));
  assert.equal(syn().packet.dst, NEW);
  t.one(tcp4(`${NEW}:8080`, `${POD}:5000`, SYN | ACK, [], { seq: 9, ack: 8 }));
  t.writer.publish(change({ upsert: [service(1, { cluster: NO_PAIRS })] }));
  assert.equal(syn().packet.dst, NEW, 'an answered connection stays');
  const other = () => t.one(tcp4(`${POD}:5001`, `${VIP}:80`, SYN));
  assert.equal(other().verdict, 'reply');
});

test('an unanswered SYN is refused when the last endpoint is gone', () => {
  const t = createTestDatapath();
  const syn = () => t.one(tcp4(`${POD}:5000`, `${VIP}:80`, SYN, [], { seq: 7 }));
  syn();
  t.writer.publish(change({ upsert: [service(1, { cluster: NO_PAIRS })] }));
  assert.equal(syn().verdict, 'reply');
  assert.equal(flows(t), 0);
});

test('simultaneous first datagrams make one flow, in one batch and after a reply', () => {
  const t = createTestDatapath();
  lead(t, [OLD, NEW]);
  const places = new Set(t.send(query(), query(), query()).map((o) => o.packet.dst));
  assert.equal(places.size, 1);
  const at = [...places][0]!;
  const mixed = t.send(query(), answer(at), query());
  assert.deepEqual(
    mixed.map((o) => o.packet.dst),
    [at, POD, at],
  );
  assert.equal(t.counter('flows-made'), 1);
});

test('a probe shows the new endpoint, not the stale flow', () => {
  const t = createTestDatapath();
  t.one(query());
  lead(t, [NEW]);
  const tuple = { proto: PROTO_UDP, src: addr(POD), sport: 4000, dst: addr(VIP), dport: 53 };
  const { reason, left, chosenBy } = new Prober(t.d.arena, 5).ask(tuple);
  assert.deepEqual([reason, left!.dst, chosenBy], ['service', addr(NEW), 'only']);
});
