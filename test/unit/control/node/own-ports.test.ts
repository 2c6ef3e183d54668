import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OwnPorts } from '../../../../control/node/captured.ts';
import { planNarrowSteering } from '../../../../control/node/narrow.ts';
import { formatRule } from '../../../../control/node/rule.ts';
import { planSteering, type SteeringInput } from '../../../../control/node/steering.ts';
import {
  FRONTEND_CLUSTER,
  FRONTEND_EXTERNAL,
  FRONTEND_LOADBALANCER,
  FRONTEND_NODEPORT,
  type FrontendEntry,
  type ImageChange,
} from '../../../../datapath/image/image.ts';
import { parseAddress } from '../../../../datapath/wire/address.ts';

const NODE = '172.18.0.11';

const at = (port: number, kind: number = FRONTEND_EXTERNAL, proto = 6, address = NODE) => ({
  ...{ address: parseAddress(address)!, port, proto, kind, serviceId: 1 },
});
const change = (add: FrontendEntry[], remove: FrontendEntry[] = []): ImageChange => ({
  ...{ node: null, upsert: [], remove: [], addFrontends: add, removeFrontends: remove },
});
const make = () => new OwnPorts(parseAddress(NODE)!);

test("merges adjacent ports of Services on the node's own address", () => {
  const ports = make();
  const tcp = [80, 443, 81].map((port) => at(port));
  assert.ok(ports.take(change([...tcp, at(53, FRONTEND_LOADBALANCER, 17), at(80, 2, 132)])));
  assert.deepEqual(ports.ranges, [
    { protocol: 'tcp', dports: [80, 81] },
    { protocol: 'tcp', dports: [443, 443] },
    { protocol: 'udp', dports: [53, 53] },
    { protocol: 'sctp', dports: [80, 80] },
  ]);
  assert.equal(ports.take(change([])), false);
  assert.ok(ports.take(change([], [at(80)])));
  assert.deepEqual(ports.ranges[0], { protocol: 'tcp', dports: [81, 81] });
});

test('ignores NodePorts, which have rules, and other addresses, which have routes', () => {
  const others = [
    at(30_080, FRONTEND_NODEPORT),
    at(80, FRONTEND_CLUSTER, 6, '10.96.0.1'),
    at(80, FRONTEND_EXTERNAL, 6, '172.18.0.12'),
  ];
  assert.equal(make().take(change(others)), false);
});

test('a port that moves to another Service keeps its rule', () => {
  const ports = make();
  ports.take(change([at(80)]));
  assert.equal(ports.take(change([{ ...at(80), serviceId: 2 }], [at(80)])), false);
});

test('limits the rules and counts the ranges beyond', () => {
  const ports = make();
  ports.take(change(Array.from({ length: 100 }, (_, n) => at(1000 + n * 2))));
  assert.deepEqual([ports.ranges.length, ports.left], [64, 36]);
});

test('whole steering has rules for packets of the node, narrow steering for all packets', () => {
  const input: SteeringInput = {
    ...{ tun: 'kt0', uplink: 'eth0', mtu: 1450, nodeAddress: NODE, serviceRange: '10.96.0.0/16' },
    ...{ podRanges: ['10.244.0.0/16'], ownPodRanges: ['10.244.0.0/16'] },
    ...{ nodePorts: [30_000, 32_767], snatPorts: [40_000, 65_534] },
    ephemeralPorts: [32_768, 39_999],
    ownPorts: [{ protocol: 'tcp', dports: [80, 81] }],
  };
  const rules = (plan: { rules: Parameters<typeof formatRule>[0][] }) => plan.rules.map(formatRule);
  const own = `pref 5 to ${NODE} iif lo ipproto tcp dport 80-81 lookup 100`;
  assert.ok(rules(planSteering(input)).includes(own));
  const any = `pref 6 to ${NODE} ipproto tcp dport 80-81 lookup 100`;
  assert.ok(rules(planNarrowSteering(input)).includes(any));
});
