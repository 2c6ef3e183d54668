import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitArgs } from '../../../lab/supervisor/agents.ts';
import { parseTopology } from '../../../lab/topology/load.ts';
import { defaultTopology } from '../../../lab/topology/topology.ts';
import { parseYaml } from '../../../lab/yaml/document.ts';

function load(text: string) {
  return parseTopology(parseYaml(text, 'lab.yaml')[0]!);
}

test('a count of nodes is the default topology', () => {
  assert.deepEqual(load('nodes: 3').topology, defaultTopology(3));
});

test('nodes start at 172.18.0.11, with 256 pod addresses each, in alternating zones', () => {
  const { nodes } = defaultTopology(3);
  assert.deepEqual(
    nodes.map((n) => [n.name, n.address, n.publicAddress, n.podCIDR, n.zone]),
    [
      ['node1', '172.18.0.11', '198.51.100.11', '10.244.1.0/24', 'zone-a'],
      ['node2', '172.18.0.12', '198.51.100.12', '10.244.2.0/24', 'zone-b'],
      ['node3', '172.18.0.13', '198.51.100.13', '10.244.3.0/24', 'zone-a'],
    ],
  );
});

test('missing values of listed nodes have defaults', () => {
  const { name, topology } = load(`name: demo
mtu: 1400
nodes:
  - {name: left, zone: west, labels: {disk: ssd}}
  - {mtu: 1280}
`);
  assert.equal(name, 'demo');
  const [left, second] = topology.nodes;
  assert.deepEqual(
    [left?.name, left?.zone, left?.mtu, left?.labels],
    ['left', 'west', 1400, { disk: 'ssd' }],
  );
  assert.deepEqual([second?.name, second?.mtu, second?.address], ['node2', 1280, '172.18.0.12']);
});

test('reads the timeouts that are given', () => {
  const { timeouts } = load('timeouts: {tcp-established: 7440, udp: 5}').topology;
  assert.deepEqual(timeouts, { 'tcp-established': 7440, udp: 5 });
  assert.equal('timeouts' in load('nodes: 1').topology, false, 'as in a record of an older lab');
});

test('merge and busyPoll become options of every agent', () => {
  const args = (text: string) => waitArgs(load(text).topology);
  assert.deepEqual(args('nodes: 1'), []);
  assert.deepEqual(args('merge: off\nbusyPoll: off'), ['--merge', 'off', '--busy-poll', 'off']);
  assert.deepEqual(args('busyPoll: 80'), ['--busy-poll', '80']);
  assert.throws(() => load('busyPoll: 0'), /busyPoll must be auto, off, or 1 to 10000/);
  assert.throws(() => load('merge: maybe'), /merge/);
});

test('proxy applies to one node, or to all nodes as a default', () => {
  const proxies = (text: string) => load(text).topology.nodes.map((node) => node.proxy);
  assert.deepEqual(proxies('nodes: 2'), ['kubetun', 'kubetun']);
  assert.deepEqual(proxies('proxy: nftables\nnodes: 2'), ['nftables', 'nftables']);
  const mixed = 'proxy: nftables\nnodes:\n  - {proxy: kubetun}\n  - {}\n';
  assert.deepEqual(proxies(mixed), ['kubetun', 'nftables']);
});

test('attach applies to one node, or to all nodes as a default; nftables keeps veth', () => {
  const attached = (text: string) => load(text).topology.nodes.map((node) => node.attach);
  const standard = process.env.KUBETUN_ATTACH || 'tun';
  assert.deepEqual(attached('nodes: 2'), [standard, standard]);
  assert.deepEqual(attached('attach: tun\nnodes: 2'), ['tun', 'tun']);
  const mixed = 'attach: tun\nnodes:\n  - {attach: veth}\n  - {}\n  - {proxy: nftables}\n';
  assert.deepEqual(attached(mixed), ['veth', 'tun', 'veth']);
});

test('KUBETUN_ATTACH sets the attachment of labs that name none', () => {
  const before = process.env.KUBETUN_ATTACH;
  const attached = (text: string) => load(text).topology.nodes[0]!.attach;
  try {
    const rows = ['nodes: 1', 'attach: veth\nnodes: 1', 'attach: tun', 'proxy: nftables'];
    delete process.env.KUBETUN_ATTACH;
    assert.deepEqual(rows.map(attached), ['tun', 'veth', 'tun', 'veth']);
    process.env.KUBETUN_ATTACH = 'veth';
    assert.deepEqual(rows.map(attached), ['veth', 'veth', 'tun', 'veth']);
    process.env.KUBETUN_ATTACH = 'tap';
    assert.throws(() => load('nodes: 1'), /KUBETUN_ATTACH is "tap", expected one of tun, veth/);
  } finally {
    if (before === undefined) delete process.env.KUBETUN_ATTACH;
    else process.env.KUBETUN_ATTACH = before;
  }
});

const REFUSED: [what: string, text: string, message: RegExp][] = [
  ['an unknown field', 'nodes: 2\ncolour: red\n', /^lab\.yaml:2: unknown field colour/],
  ['an unknown field of a node', 'nodes:\n  - nmae: a\n', /^lab\.yaml:2: unknown field nmae/],
  ['too many nodes', 'nodes: 5000', /^lab\.yaml:1: nodes must be a whole number from 1 to 200/],
  ['an unknown proxy', 'nodes:\n  - {proxy: ipvs}\n', /:2: .*must be one of kubetun, nftables/],
  ['an unknown attachment', 'attach: tap\n', /:1: attach must be one of tun, veth/],
  [
    'TUN devices without a datapath',
    'nodes:\n  - {proxy: nftables, attach: tun}\n',
    /:2: attach tun of node node1 needs proxy kubetun/,
  ],
  ['an MTU below 576', 'mtu: 100', /^lab\.yaml:1: mtu must be a whole number/],
  [
    'host bits',
    'ranges:\n  pods: 10.244.1.0/16\n',
    /:2: .*has host bits: expected 10\.244\.0\.0\/16/,
  ],
  ['ranges that overlap', 'ranges:\n  services: 10.244.0.0/16\n', /overlaps the pods range/],
  ['a name twice', 'nodes:\n  - {name: a}\n  - {name: a}\n', /:3: node a is defined twice/],
  [
    "a name of the lab's own",
    'nodes:\n  - {name: cloud}\n',
    /:2: node cloud has a name that the lab itself uses/,
  ],
  ['an address outside', 'nodes:\n  - {address: 10.1.1.1}\n', /:2: .*not in the fabric range/],
  ["the API server's address", 'nodes:\n  - {address: 172.18.0.1}\n', /API server's/],
  [
    'a public address outside',
    'nodes:\n  - {publicAddress: 192.0.2.1}\n',
    /:2: .*not in the public range/,
  ],
  [
    'a public address twice',
    'nodes:\n  - {}\n  - {publicAddress: 198.51.100.11}\n',
    /:3: .*also that of node1/,
  ],
  ['pod ranges that overlap', 'nodes:\n  - {}\n  - {podCIDR: 10.244.1.0/25}\n', /overlaps/],
  ['flows that are not a power of two', 'flows: 1000\n', /:1: flows 1000 is no power of two/],
  [
    'an unknown timeout',
    'timeouts:\n  udp: 5\n  tcp: 5\n',
    /^lab\.yaml:3: unknown field tcp \(known here: tcp-syn-sent, /,
  ],
  [
    'a timeout beyond the clock',
    'timeouts: {udp: 2073601}',
    /^lab\.yaml:1: timeouts\.udp must be a whole number from 1 to 2073600/,
  ],
  ['a timeout of zero', 'timeouts: {icmp: 0}', /:1: timeouts\.icmp must be a whole number/],
  ['timeouts that are no map', 'timeouts: 5', /^lab\.yaml:1: timeouts must be a map/],
  ['a loopback range', 'ranges:\n  pods: 127.0.0.0/16\n', /:2: .*overlaps 127\.0\.0\.0\/8/],
  ['a link-local range', 'ranges:\n  pods: 169.254.0.0/16\n', /overlaps 169\.254\.0\.0\/16/],
  ['a multicast range', 'ranges:\n  services: 224.0.0.0/16\n', /overlaps 224\.0\.0\.0\/3/],
  ["an MTU above the fabric's", 'nodes:\n  - {mtu: 9000}\n', /:2: mtu 9000 of node node1 is above/],
  ['invalid YAML', 'nodes: [1,\nmtu: 2', /^lab\.yaml:\d+: /],
];

for (const [what, text, message] of REFUSED) {
  test(`a topology with ${what} is refused with file and line`, () => {
    assert.throws(() => load(text), { code: 'KT_YAML', message });
  });
}
