import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planNarrowSteering } from '../../../../control/node/narrow.ts';
import {
  diffRules,
  formatRule,
  parseRule,
  type Rule,
  undoRules,
} from '../../../../control/node/rule.ts';
import { podRangesOf } from '../../../../control/node/site.ts';
import { planSteering, type SteeringPlan } from '../../../../control/node/steering.ts';
import { parseAddress, parseRange } from '../../../../datapath/wire/address.ts';

const INPUT = {
  tun: 'kt0',
  uplink: 'eth0',
  mtu: 1500,
  nodeAddress: '192.0.2.11',
  serviceRange: '10.96.0.0/16',
  podRanges: ['10.244.1.0/24', '10.244.7.0/24'],
  ownPodRanges: ['10.244.1.0/24'],
  nodePorts: [30_000, 32_767] as [number, number],
  snatPorts: [40_000, 65_534] as [number, number],
  ephemeralPorts: [32_768, 39_999] as [number, number],
};
const PLAN = planNarrowSteering(INPUT);
const N = INPUT.nodeAddress;
const POD = '10.244.1.5';
const FAR_POD = '10.244.7.5';
const OUT = '203.0.113.9';

interface Packet {
  iif: string;
  from: string;
  to: string;
  protocol: string;
  sport?: number;
  dport?: number;
}

function within(range: string | undefined, address: string): boolean {
  if (range === undefined) return true;
  const { address: base, mask } = parseRange(range.includes('/') ? range : `${range}/32`)!;
  return (parseAddress(address)! & mask) === base;
}

function matches(rule: Rule, p: Packet): boolean {
  const port = (range: [number, number] | undefined, at = 0) =>
    range === undefined || (at >= range[0] && at <= range[1]);
  return (
    within(rule.from, p.from) &&
    within(rule.to, p.to) &&
    (rule.iif === undefined || rule.iif === p.iif) &&
    (rule.protocol === undefined || rule.protocol === p.protocol) &&
    port(rule.sports, p.sport) &&
    port(rule.dports, p.dport)
  );
}

/** Destinations of the plan's routes in a table. */
function routesOf({ setup }: SteeringPlan, table: number): string[] {
  const lines = setup.filter((line) => line.endsWith(` table ${table}`));
  return lines.map((line) => line.split(' ')[2]!);
}

/** The route that the rules select for a packet. Table 101 is empty here. */
function fate(p: Packet): string {
  const pods = routesOf(PLAN, 103);
  let from = 0;
  for (const rule of [...PLAN.rules].sort((a, b) => a.pref - b.pref)) {
    if (rule.pref < from || rule.action === 'lookup 101' || !matches(rule, p)) continue;
    const [verb, target] = rule.action.split(' ');
    if (verb === 'goto') from = Number(target);
    else if (rule.action === 'lookup 100') return 'tun';
    else if (rule.action !== 'lookup 103') return rule.action;
    else if (pods.some((range) => within(range, p.to))) return 'tun';
  }
  return 'plain';
}

const tcp = (iif: string, from: string, sport: number, to: string, dport: number): Packet => ({
  ...{ iif, from, sport, to, dport },
  protocol: 'tcp',
});
const icmp = (iif: string, from: string, to: string, type: number): Packet => ({
  ...{ iif, from, to, protocol: 'icmp' },
  // Like the kernel: it knows the type of its own packets, not of arriving ones.
  ...(iif === 'lo' ? { dport: type << 8 } : {}),
});

const FATES: [string, Packet, string][] = [
  ['SSH to the node', tcp('eth0', OUT, 5000, N, 22), 'plain'],
  ['the answer of the SSH server', tcp('lo', N, 22, OUT, 5000), 'plain'],
  ['the node to the outside', tcp('lo', N, 33_000, OUT, 443), 'plain'],
  ['the answer from the outside', tcp('eth0', OUT, 443, N, 33_000), 'plain'],
  ['an overlay between nodes', { ...tcp('eth0', OUT, 999, N, 8472), protocol: 'udp' }, 'plain'],
  ['forwarded packets', tcp('eth0', OUT, 1, '198.51.100.1', 2), 'plain'],
  ['a NodePort from outside', tcp('eth0', OUT, 5000, N, 30_080), 'tun'],
  ['a NodePort from the node', tcp('lo', N, 33_000, N, 30_080), 'tun'],
  ['a NodePort from a pod', tcp('veth1', POD, 5000, N, 30_080), 'tun'],
  ['a reply of a masqueraded flow', tcp('eth0', FAR_POD, 80, N, 45_000), 'tun'],
  ['the node to a Service', tcp('lo', N, 33_000, '10.96.0.1', 443), 'tun'],
  ['a pod to a Service', tcp('veth1', POD, 5000, '10.96.0.1', 443), 'tun'],
  ['the outside to a Service', tcp('eth0', OUT, 5000, '10.96.0.1', 443), 'tun'],
  [
    'an untranslated Service address from the TUN device',
    tcp('kt0', POD, 5000, '10.96.9.9', 443),
    'prohibit',
  ],
  ['a packet from the datapath', tcp('kt0', POD, 5000, FAR_POD, 80), 'plain'],
  ['a pod to the outside', tcp('veth1', POD, 5000, OUT, 443), 'tun'],
  ['a far pod to a pod', tcp('eth0', FAR_POD, 80, POD, 5000), 'tun'],
  ["a far pod's answer to a host here", tcp('eth0', FAR_POD, 80, N, 33_000), 'plain'],
  ['a far host endpoint to a pod', tcp('eth0', '192.0.2.12', 6443, POD, 5000), 'tun'],
  ['a host endpoint here to a pod', tcp('lo', N, 6443, POD, 5000), 'tun'],
  ['a host endpoint here to a far pod', tcp('lo', N, 6443, FAR_POD, 5000), 'tun'],
  ["the node's connection to a far pod", tcp('lo', N, 33_000, FAR_POD, 8080), 'plain'],
  ['the node to a Service, from an ephemeral port', tcp('lo', N, 39_999, '10.96.0.1', 443), 'tun'],
  ['another protocol from a pod', { ...icmp('veth1', POD, OUT, 8), protocol: 'gre' }, 'plain'],
  [
    'ARP of a pod for its gateway',
    { ...icmp('veth1', POD, '10.244.1.1', 0), protocol: '' },
    'plain',
  ],
  ["a kubelet's probe", tcp('lo', N, 33_000, POD, 8080), 'plain'],
  ["a probe's answer", tcp('veth1', POD, 8080, N, 33_000), 'plain'],
  ['a pod to a server on the node', tcp('veth1', POD, 5000, N, 10_250), 'plain'],
  ['the node pings', icmp('lo', N, OUT, 8), 'plain'],
  ['the node answers a ping', icmp('lo', N, OUT, 0), 'plain'],
  ["the node's own unreachable", icmp('lo', N, OUT, 3), 'tun'],
  ["the node's own time exceeded", icmp('lo', N, N, 11), 'tun'],
  ['an error to the node', icmp('eth0', OUT, N, 3), 'tun'],
  ['the loopback', tcp('lo', '127.0.0.1', 1, '127.0.0.1', 30_080), 'plain'],
];

for (const [what, packet, expected] of FATES) {
  test(`narrow steering: ${what}: ${expected}`, () => assert.equal(fate(packet), expected));
}

test('reads back rules with ports and rules with goto as written', () => {
  const all = { src: 'all', iif: 'lo' };
  const sport = { ...all, priority: 12, sport_start: 32_768, sport_end: 39_999, goto: 100 };
  const jump = { priority: 13, src: 'all', ipproto: 'tcp', goto: 15 };
  const plan = PLAN.rules.map(formatRule);
  for (const json of [sport, jump]) assert.ok(plan.includes(formatRule(parseRule(json))));
});

test('foreign rules stay, and the new rules start after the local lookup', () => {
  const untouched: Rule[] = [
    { pref: 0, action: 'lookup local' },
    { pref: 512, to: POD, action: 'lookup main' },
    { pref: 32_766, action: 'lookup main' },
  ];
  const lines = diffRules(untouched, PLAN.rules, PLAN.localPref);
  assert.equal(lines[0], 'rule add pref 100 lookup local');
  assert.deepEqual(
    lines.filter((line) => line.startsWith('rule del')),
    ['rule del pref 0 lookup local'],
  );
  const steered = [...untouched.slice(1), ...PLAN.rules, { pref: 100, action: 'lookup local' }];
  const undo = undoRules(steered);
  assert.equal(undo[0], 'rule add pref 0 lookup local');
  assert.equal(undo.at(-1), 'rule del pref 100 lookup local');
  assert.ok(!undo.some((line) => line.includes('512')));
});

test('a change from whole to narrow steering always keeps a rule for local delivery', () => {
  const whole = planSteering(INPUT);
  const before = [...whole.rules, { pref: whole.localPref, action: 'lookup local' }];
  const lines = diffRules(before, PLAN.rules, PLAN.localPref);
  assert.equal(lines[0], 'rule add pref 100 lookup local');
  assert.equal(lines.at(-1), 'rule del pref 32000 lookup local');
});

/** Ranges of `n` nodes: adjacent, or far from each other. */
const CLUSTERS: Record<string, (n: number) => string> = {
  neighbouring: (n) => `10.${n >>> 8}.${n & 255}.0/24`,
  scattered: (n) => `10.${n >>> 7}.${(n & 127) * 2}.0/24`,
};

for (const [what, rangeOf] of Object.entries(CLUSTERS)) {
  test(`the rules of a node do not grow with the cluster: ${what} ranges`, () => {
    const plansOf = (nodes: number) => {
      const ranges = Array.from({ length: nodes }, (_, n) => parseRange(rangeOf(n))!);
      const ownPodRanges = [rangeOf(0)];
      const input = { ...INPUT, ownPodRanges, podRanges: podRangesOf(ranges, []) };
      return [planNarrowSteering(input), planSteering(input)];
    };
    const two = plansOf(2).map((plan) => plan.rules.map(formatRule));
    assert.deepEqual([two[0]!.length, two[1]!.length], [24, 21]);
    for (const nodes of [101, 1000]) {
      const plans = plansOf(nodes);
      const rules = plans.map((plan) => plan.rules.map(formatRule));
      assert.deepEqual(rules, two, `${nodes} nodes`);
      // Every range has a route into the datapath.
      for (const plan of plans) {
        const routes = routesOf(plan, 103);
        for (const n of [0, 1, nodes - 1]) {
          const address = rangeOf(n).replace('.0/24', '.7');
          assert.ok(
            routes.some((range) => within(range, address)),
            address,
          );
        }
      }
    }
  });
}
