import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Facts, parseNft } from '../../../../control/node/facts.ts';
import {
  type Aim,
  mendingSysctls,
  preflight,
  runChecks,
} from '../../../../control/node/preflight.ts';
import { KubetunError } from '../../../../datapath/error.ts';

const FIT: Facts = {
  uid: 0,
  netAdmin: true,
  tun: true,
  ip: true,
  rootNamespace: false,
  forward: true,
  rpFilter: { lo: 0, default: 1, eth0: 2, veth1: 0 },
  ephemeralPorts: [32_768, 39_999],
  links: [
    { name: 'eth0', kind: '', master: '', carrier: true, addresses: ['192.0.2.11'] },
    { name: 'kt0', kind: 'tun', master: '', carrier: false, addresses: [] },
    { name: 'docker0', kind: 'bridge', master: '', carrier: false, addresses: ['172.17.0.1'] },
  ],
  filters: ['nat POSTROUTING', 'filter KUBE-FIREWALL'],
  routes: [{ table: 100, dst: 'default', dev: 'kt0' }],
  agent: null,
  arenaHolder: null,
};
const NARROW: Aim = {
  node: 'n1',
  tun: 'kt0',
  hostNetwork: false,
  narrow: true,
  podRanges: ['10.244.0.0/16'],
};
const LAB: Aim = { ...NARROW, narrow: false };

const link = (name: string, over: object = {}) => ({
  ...{ name, kind: '', master: '', carrier: true, addresses: [] },
  ...over,
});
const withLinks = (...links: Facts['links']) => ({ links: [...FIT.links, ...links] });
const bridged = (name: string, address: string) =>
  withLinks(link(name, { kind: 'bridge', addresses: [address] }), link('v', { master: name }));

const REFUSALS: [string, Partial<Facts>, RegExp, RegExp][] = [
  ['KT_NOT_ROOT', { uid: 1000 }, /^the agent of n1 is not root$/, /sudo/],
  ['KT_NO_NET_ADMIN', { netAdmin: false }, /CAP_NET_ADMIN/, /NET_ADMIN/],
  ['KT_TUN_ABSENT', { tun: false }, /\/dev\/net\/tun/, /modprobe tun/],
  ['KT_TOOL_MISSING', { ip: false }, /^ip is not installed$/, /iproute2/],
  ['KT_ROOT_NAMESPACE', { rootNamespace: true }, /own network namespace/, /--host-network/],
  ['KT_FORWARD_OFF', { forward: false }, /ip_forward is 0/, /ip_forward=1/],
  ['KT_RP_FILTER', { rpFilter: { lo: 1, kt0: 1, cali1: 1 } }, /on cali1 drops/, /rp_filter=2/],
  ['KT_EPHEMERAL_PORTS', { ephemeralPorts: [32_768, 60_999] }, /32768-60999/, /32768 39999/],
  ['KT_EPHEMERAL_PORTS', { ephemeralPorts: null }, /cannot be read/, /proc/],
  ['KT_PROXY_ACTIVE', withLinks(link('kube-ipvs0')), /IPVS mode/, /real-cluster/],
  ['KT_PROXY_ACTIVE', withLinks(link('cilium_host')), /Cilium is active/, /real-cluster/],
  ['KT_PROXY_ACTIVE', { filters: ['nat KUBE-SERVICES'] }, /kube-proxy is active/, /real-cluster/],
  ['KT_PROXY_ACTIVE', { filters: ['kube-proxy services'] }, /kube-proxy/, /real-cluster/],
  ['KT_BRIDGE_CNI', bridged('cni0', '10.1.0.1'), /share the bridge cni0/, /routes/],
  ['KT_BRIDGE_CNI', bridged('br-pods', '10.244.3.1'), /br-pods/, /routes/],
  ['KT_TABLE_TAKEN', { routes: [{ table: 101, dst: '10.0.0.0/8', dev: 'eth1' }] }, /101/, /move/],
];
const ACTIVE: [string, Partial<Facts>, RegExp, RegExp][] = [
  ['KT_AGENT_ACTIVE', { agent: 76 }, /namespace of n1: process 76$/, /stop that process/],
  ['KT_AGENT_ACTIVE', { arenaHolder: 77 }, /arena of n1: process 77$/, /stop that process/],
  ['KT_AGENT_ACTIVE', { links: [link('kt0')] }, /another process is attached/, /stop that/],
];

const ROWS = [
  ...REFUSALS.map((row) => ({ row, aim: NARROW })),
  // Two agents undo each other's rules in any mode.
  ...ACTIVE.flatMap((row) => [NARROW, LAB].map((aim) => ({ row, aim }))),
];
for (const { row, aim } of ROWS) {
  const [code, flaw, message, next] = row;
  const steering = aim.narrow ? 'narrow' : 'whole';
  test(`the preflight refuses, ${steering}: ${code}: ${message.source}`, () => {
    preflight(FIT, aim);
    assert.throws(
      () => preflight({ ...FIT, ...flaw }, aim),
      (error: unknown) => {
        assert.ok(error instanceof KubetunError);
        assert.equal(error.code, code);
        assert.match(error.message, message);
        assert.match(error.next, next);
        return true;
      },
    );
  });
}

test('accepts a bridge without pods', () => {
  preflight({ ...FIT, ...bridged('docker0', '172.17.0.1') }, NARROW);
});

test("runs only the common checks on a lab's node", () => {
  preflight({ ...FIT, forward: false, filters: ['nat KUBE-SERVICES'] }, LAB);
  assert.equal(runChecks(FIT, LAB).length, 6);
});

test("steers the machine's own network only if that is requested", () => {
  preflight({ ...FIT, rootNamespace: true }, { ...LAB, hostNetwork: true });
});

test('reports a missing tool that could find kube-proxy, and refuses nothing', () => {
  const facts = { ...FIT, filters: null };
  preflight(facts, NARROW);
  const unknown = runChecks(facts, NARROW).filter(({ verdict }) => verdict === 'unknown');
  assert.deepEqual(
    unknown.map(({ check }) => check),
    ['other proxies'],
  );
});

test('the proposed sysctls are exactly the refused ones, and fix them', () => {
  assert.deepEqual(mendingSysctls(FIT, NARROW), []);
  const flaws = {
    ...{ forward: false, rpFilter: { eth0: 1 } },
    ephemeralPorts: [32_768, 60_999] as [number, number],
  };
  assert.deepEqual(mendingSysctls({ ...FIT, ...flaws }, NARROW), [
    ['ip_forward', '1'],
    ['conf/all/rp_filter', '2'],
    ['ip_local_port_range', '32768 39999'],
  ]);
});

test('reads the chains of nft with their tables', () => {
  const json = JSON.stringify({
    nftables: [
      { metainfo: { version: '1.0.6' } },
      { chain: { family: 'ip', table: 'nat', name: 'KUBE-SERVICES', handle: 3 } },
    ],
  });
  assert.deepEqual(parseNft(json), ['nat KUBE-SERVICES']);
});
