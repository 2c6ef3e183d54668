// Path MTU through every kind of translation: a client with a link of 1500 bytes learns the MTU of
// one of 1280 behind the translating node, for the address that it dialled. The kernel believes an
// ICMP error only if it sent the quoted packet. So the routing cache shows that the quote was
// translated, too.
//
// Only the near end of each narrow link is narrow: with both, TCP's ends would agree on segments
// that fit. A pod that is attached by TUN has one end only. So its route offers larger segments.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { namespaceOf, podLink, podNamespace } from '../../lab/places/names.ts';
import { PROJECT_ROOT } from '../../lab/places/paths.ts';
import {
  clientCommand,
  clientPod,
  HAS_CABLES,
  iperfPod,
  NODE,
  serverPod,
  serviceObject,
  startLab,
  type TestLab,
  until,
} from '../support/lab.ts';

/** Both ways may run at once. */
const NAME = HAS_CABLES ? 'e2e-mtu-veth' : 'e2e-mtu-tun';
const SMALL = 1280;
const NODE1 = '172.18.0.11';
const NODE_PORT = 30_002;
const NODE_PORT_UDP = 30_003;
/** A router on the fabric and a server behind it, outside of the lab and the cluster. */
const ROUTER = '172.18.0.200';
const BEHIND = '192.168.77.0/24';
const OUTSIDE = '192.168.77.10';

/** Pods of the lab, and the place `outside`. */
const PLACES = ['client', 'iperf', 'echo', 'outside'] as const;
type Place = (typeof PLACES)[number];
/** A link in a network namespace. `pod` is the pod whose TUN device it is. */
type Link = [netns: string, link: string, pod?: string];

const OWN: Link = [namespaceOf(NAME, 'node1'), 'eth0'];
const CLIENT_LINK = linkTo('client', 'node1');
const SERVER_LINK = linkTo('iperf', 'node2');
const ECHO_LINK = linkTo('echo', 'node2');
const ROUTER_LINK: Link = [namespaceOf(NAME, 'router'), 'eth1'];
/** MSS of a link of 1500 bytes. */
const MSS = 1460;

interface Cell {
  what: string;
  narrow: Link;
  from: Place;
  to: () => Promise<string>;
  port: number;
  /** The server sends: it learns the MTU, for this address. */
  learner?: Place;
  learns?: string;
}

let lab: TestLab;
const iperfIP = () => lab.clusterIP('iperf');
const echoIP = () => lab.clusterIP('echo');
const node1 = async () => NODE1;
const outside = async () => OUTSIDE;

const TCP: Cell[] = [
  ...both('ClusterIP', OWN, SERVER_LINK, { from: 'client', to: iperfIP, port: 5201 }),
  { what: "NodePort, from a pod; the node's own link", ...nodePort('client', OWN) },
  { what: 'NodePort, from outside; a later hop', ...nodePort('outside', SERVER_LINK) },
  {
    what: "NodePort, to a pod; the node's own link",
    ...{ ...nodePort('client', CLIENT_LINK), learner: 'iperf', learns: NODE1 },
  },
  {
    what: 'NodePort, to the outside; a later hop',
    ...{ ...nodePort('outside', ROUTER_LINK), learner: 'iperf', learns: NODE1 },
  },
  ...both('masquerade', OWN, ROUTER_LINK, { from: 'client', to: outside, port: 5201 }),
];

const UDP: Cell[] = [
  ...both('ClusterIP', OWN, ECHO_LINK, { from: 'client', to: echoIP, port: 8081 }),
  {
    what: "NodePort, from a pod; the node's own link",
    ...{ from: 'client', to: node1, port: NODE_PORT_UDP, narrow: OWN },
  },
  {
    what: 'NodePort, from outside; a later hop',
    ...{ from: 'outside', to: node1, port: NODE_PORT_UDP, narrow: ECHO_LINK },
  },
  ...both('masquerade', OWN, ROUTER_LINK, { from: 'client', to: outside, port: 8081 }),
];

/** The last link of the way to a pod. */
function linkTo(pod: string, node: string): Link {
  if (HAS_CABLES) return [namespaceOf(NAME, node), podLink('default', pod)];
  return [podNamespace(NAME, 'default', pod), 'eth0', pod];
}

function both(what: string, own: Link, later: Link, cell: Omit<Cell, 'what' | 'narrow'>): Cell[] {
  return [
    { what: `${what}; the node's own link`, narrow: own, ...cell },
    { what: `${what}; a later hop`, narrow: later, ...cell },
  ];
}

function nodePort(from: Place, narrow: Link): Omit<Cell, 'what'> {
  return { from, to: node1, port: NODE_PORT, narrow };
}

function ip(...args: string[]): void {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
  assert.equal(status, 0, `ip ${args.join(' ')}: ${stderr}`);
}

/** An `ip` command in a namespace of the lab. */
function ipIn(place: string, line: string): void {
  ip('-n', namespaceOf(NAME, place), ...line.split(' '));
}

async function setMtu([netns, link, pod]: Link, mtu: number): Promise<void> {
  ip('-n', netns, 'link', 'set', link, 'mtu', `${mtu}`);
  if (pod === undefined) return;
  const via = ['default', 'via', '169.254.1.1', 'dev', link, 'onlink', 'advmss', `${MSS}`];
  const address = await lab.podIP(pod);
  ip('-n', netns, 'route', 'replace', ...via, 'src', address);
}

/** `lab down` removes these namespaces and their processes by name. */
function makeOutside(): void {
  for (const place of ['router', 'outside']) ip('netns', 'add', namespaceOf(NAME, place));
  ipIn(
    'fabric',
    `link add to-router type veth peer name eth0 netns ${namespaceOf(NAME, 'router')}`,
  );
  ipIn('fabric', 'link set to-router master br0 up');
  ipIn('router', `link add eth1 type veth peer name eth0 netns ${namespaceOf(NAME, 'outside')}`);
  ipIn('router', `addr add ${ROUTER}/16 dev eth0`);
  ipIn('router', 'addr add 192.168.77.1/24 dev eth1');
  ipIn('outside', `addr add ${OUTSIDE}/24 dev eth0`);
  for (const [place, link] of [
    ['router', 'eth0'],
    ['router', 'eth1'],
    ['outside', 'eth0'],
  ]) {
    ipIn(place!, `link set ${link} up`);
  }
  ipIn('outside', 'route add default via 192.168.77.1');
  for (const node of ['node1', 'node2']) ipIn(node, `route add ${BEHIND} via ${ROUTER}`);
  const forward = ['netns', 'exec', namespaceOf(NAME, 'router'), 'sysctl', '-qw'];
  ip(...forward, 'net.ipv4.ip_forward=1');
}

const serve = (...command: string[]) =>
  execFile('ip', ['netns', 'exec', namespaceOf(NAME, 'outside'), ...command]);

/** Runs a command to its end; returns its output. */
async function run(place: Place, ...command: string[]): Promise<string> {
  if (place !== 'outside') return lab.run(place, ...command);
  const args = ['netns', 'exec', namespaceOf(NAME, place), ...command];
  return (await promisify(execFile)('ip', args)).stdout;
}

const routeOf = (place: Place, address: string) => run(place, 'ip', 'route', 'get', address);

/**
 * Bytes received of 8 MiB. The last ones may be in transit when iperf3 stops counting: at most what
 * two socket buffers hold.
 */
async function transfer(from: Place, address: string, port: number, ...more: string[]) {
  const flags = ['-n', '8M', '-w', '128K', '-J', '--connect-timeout', '3000', ...more];
  const text = await run(from, 'timeout', '40', 'iperf3', '-c', address, '-p', `${port}`, ...flags);
  return JSON.parse(text).end.sum_received.bytes as number;
}

describe('path MTU', () => {
  before(async () => {
    lab = startLab(NAME, [
      iperfPod('iperf', 'node2'),
      serverPod('echo', 'node2', { app: 'echo' }),
      clientPod('client', 'node1'),
      serviceObject('iperf', {
        type: 'NodePort',
        selector: { app: 'iperf' },
        ports: [{ port: 5201, nodePort: NODE_PORT }],
      }),
      serviceObject('echo', {
        type: 'NodePort',
        selector: { app: 'echo' },
        ports: [{ port: 8081, protocol: 'UDP', nodePort: NODE_PORT_UDP }],
      }),
    ]);
    makeOutside();
    const netexec = join(PROJECT_ROOT, 'lab/apps/agnhost.ts');
    serve('iperf3', '-s');
    serve(NODE, netexec, 'netexec', '--http-port=8080', '--udp-port=8081');
    await lab.untilEndpoints('default/iperf:5201', 1);
    await lab.untilEndpoints('default/echo:8081', 1);
    await until('the servers outside listen', async () => {
      const ports = await run('outside', 'ss', '-lntu');
      return ports.includes(':5201') && ports.includes(':8081');
    });
  });
  after(() => lab.down());

  /** Runs with its narrow link and empty routing caches. */
  async function narrowed(cell: Cell, act: (address: string) => Promise<void>): Promise<void> {
    const { from, learner = from } = cell;
    const address = await cell.to();
    const learns = cell.learns ?? address;
    await setMtu(cell.narrow, SMALL);
    try {
      // In every place: a cached MTU would make TCP's ends agree on small segments.
      for (const place of PLACES) await run(place, 'ip', 'route', 'flush', 'cache');
      assert.doesNotMatch(await routeOf(learner, learns), /mtu/);
      await act(address);
      assert.match(
        await routeOf(learner, learns),
        /mtu 1280/,
        `${learner} learns it for ${learns}`,
      );
    } finally {
      await setMtu(cell.narrow, 1500);
    }
  }

  for (const cell of TCP) {
    test(`TCP: ${cell.what}`, () =>
      narrowed(cell, async (address) => {
        const bytes = await transfer(
          cell.from,
          address,
          cell.port,
          ...(cell.learner ? ['-R'] : []),
        );
        assert.ok(bytes >= 4e6, `${bytes} bytes`);
      }));
  }

  for (const cell of UDP) {
    test(`UDP: ${cell.what}`, () =>
      narrowed(cell, async (address) => {
        // Replies have the same size. The near end of the narrow link would drop whole ones, so the
        // server sends them in fragments.
        const server = address === OUTSIDE ? 'outside' : 'echo';
        const setServer = (mtu: number) =>
          run(server, 'ip', 'link', 'set', 'eth0', 'mtu', `${mtu}`);
        await setServer(SMALL);
        const command = clientCommand('udp', address, cell.port, 1400, 4);
        const { same } = JSON.parse(await run(cell.from, ...command)) as { same: number };
        await setServer(1500);
        // The first datagram may be lost: its sender learns the MTU from it.
        assert.ok(same >= 3, `${same} of 4`);
      }));
  }
});
