// Two equal labs: in one the datapath translates, in the other the kernel, also at the edge.
import { execFileSync, spawnSync } from 'node:child_process';
import { askAgent } from '../../control/admin-client.ts';
import { arenaOf } from '../../control/places.ts';
import { attachArenaFile } from '../../datapath/arena/file.ts';
import { LINE_WORDS, W_SEEN } from '../../datapath/flow/line.ts';
import { type FlowRow, readArena } from '../../datapath/observe/flows.ts';
import { ipBatch } from '../../lab/host/ip.ts';
import { writeSysctls } from '../../lab/host/sysctl.ts';
import {
  fabricLink,
  namespaceOf,
  namespacePath,
  podLink,
  podNamespace,
} from '../../lab/places/names.ts';
import { HAS_CABLES, kubetun, startLab, type TestLab, until } from '../support/lab.ts';
import { NODES, objects, PLACES, PUBLIC, SERVICES } from './routes.ts';
import { type PlaceOptions, Side } from './side.ts';

/** s. After it, flows of earlier batches leave the datapath's table. No walk lasts as long. */
const LIFETIME_S = 30;
const TIMEOUTS = Object.fromEntries(
  [
    ...['tcp-syn-sent', 'tcp-syn-recv', 'tcp-established', 'tcp-fin-wait', 'tcp-close-wait'],
    ...['tcp-last-ack', 'tcp-time-wait', 'tcp-close', 'udp', 'udp-stream', 'icmp'],
  ].map((name) => [name, LIFETIME_S]),
);
/** ms. Then no flow is left: expiry visits each slot within 7 s. */
export const FORGOTTEN_MS = (LIFETIME_S + 10) * 1000;
const FLOWS = 131_072;
const PROXIES = ['kubetun', 'nftables'] as const;
/** Ports of clients: below NodePorts, masquerade and the nodes' own sockets. */
export const CLIENT_PORTS = [10_000, 29_999] as const;
/** The kernel's cloud. */
export const EDGE = 'edge';
const OUTSIDE = 'outside';
const EDGE_ADDRESS = '172.18.0.2';
const OUTSIDE_GATEWAY = '203.0.113.1';

export interface Twin {
  side: Side;
  /** The datapath's flow tables by node and of the edge. The side dumps the kernel's. */
  arenas: Record<string, FlowReader> | null;
}

/** A flow of the datapath. */
export interface TrackedFlow extends FlowRow {
  /** Last renewal by a packet, in ms of the monotonic clock, like the datapath's. */
  renewedAt: number;
}

interface FlowReader {
  flows(): Iterable<TrackedFlow>;
  close(): void;
}

function openFlows(lab: string, agent: string): FlowReader {
  const { arena, close } = attachArenaFile(arenaOf(lab, agent));
  const seen = ({ id }: FlowRow, side: number) =>
    arena.lines[(id * 2 + side) * LINE_WORDS + W_SEEN]!;
  const tracked = (flow: FlowRow): TrackedFlow => ({
    ...flow,
    renewedAt: Math.max(seen(flow, 0), seen(flow, 1)),
  });
  return { flows: () => [...readArena(arena).flows()].map(tracked), close };
}

export class Twins {
  readonly kubetun: Twin;
  readonly kernel: Twin;
  readonly #labs: TestLab[];

  private constructor(labs: TestLab[], kubetunTwin: Twin, kernelTwin: Twin) {
    this.#labs = labs;
    this.kubetun = kubetunTwin;
    this.kernel = kernelTwin;
  }

  /** Brings both labs up and silences the kernels of all places. */
  static async start(name: string): Promise<Twins> {
    const labs: TestLab[] = [];
    try {
      for (const proxy of PROXIES) {
        const nodes = NODES.map((node) => ({
          ...{ name: node, proxy },
          // One node behind the balancers, so that they have no choice.
          ...(node === 'node2' ? { labels: EXCLUDED } : {}),
        }));
        const topology = { nodes, flows: FLOWS, timeouts: TIMEOUTS };
        labs.push(startLab(labName(name, proxy), objects(), topology));
      }
      const [first, second] = labs as [TestLab, TestLab];
      await makeEdge(second.name);
      for (const lab of labs) await untilServed(lab);
      const sides = [await openSide(first, false), await openSide(second, true)] as const;
      const arenas = Object.fromEntries(
        [...NODES, EDGE].map((place) => [
          place,
          openFlows(first.name, place === EDGE ? 'cloud' : place),
        ]),
      );
      return new Twins(labs, { side: sides[0], arenas }, { side: sides[1], arenas: null });
    } catch (error) {
      for (const lab of labs) await lab.down();
      throw error;
    }
  }

  async down(): Promise<void> {
    for (const twin of [this.kubetun, this.kernel]) {
      await twin.side.close();
      for (const arena of Object.values(twin.arenas ?? {})) arena.close();
    }
    for (const lab of this.#labs) await lab.down();
  }
}

/** Stops labs of an earlier run, or of this one if it is interrupted. */
export function endLabs(name: string): void {
  for (const proxy of PROXIES) kubetun('lab', 'down', '--lab', labName(name, proxy));
}

/** Lab names must be short. */
function labName(name: string, proxy: (typeof PROXIES)[number]): string {
  return `${name}-${proxy === 'kubetun' ? 'dp' : 'nf'}`;
}

const EXCLUDED = { 'node.kubernetes.io/exclude-from-external-load-balancers': 'true' };

/** The kernel's edge replaces the cloud: a separate namespace with the cloud's address. */
async function makeEdge(lab: string): Promise<void> {
  const [edge, outside, fabric] = [EDGE, OUTSIDE, 'fabric'].map((p) => namespaceOf(lab, p));
  await ipBatch(null, [`netns add ${edge}`, `netns add ${outside}`]);
  for (const namespace of [edge!, outside!]) {
    writeSysctls(namespace, [
      ['ipv4/ip_forward', namespace === edge ? '1' : '0'],
      ['ipv6/conf/all/disable_ipv6', '1'],
      ['ipv4/conf/all/rp_filter', '0'],
      ['ipv4/conf/default/rp_filter', '0'],
      ['ipv4/conf/all/send_redirects', '0'],
      ['ipv4/conf/default/send_redirects', '0'],
      ['netfilter/nf_conntrack_tcp_be_liberal', '1'],
      ['netfilter/nf_conntrack_checksum', '0'],
      ['ipv4/icmp_ratemask', '0'],
      ['ipv4/route/min_pmtu', '1500'],
    ]);
  }
  await ipBatch(fabric!, [
    `link set ${fabricLink('cloud')} nomaster`,
    `link add ${fabricLink(EDGE)} type veth peer name eth0 netns ${edge}`,
    `link set ${fabricLink(EDGE)} master br0 up`,
  ]);
  await ipBatch(edge!, [
    `link add eth1 type veth peer name eth0 netns ${outside}`,
    `addr add ${EDGE_ADDRESS}/16 dev eth0`,
    `addr add ${OUTSIDE_GATEWAY}/24 dev eth1`,
    ...['lo', 'eth0', 'eth1'].map((link) => `link set ${link} up`),
  ]);
  await ipBatch(outside!, [
    `addr add ${PLACES.internet}/24 dev eth0`,
    ...['lo', 'eth0'].map((link) => `link set ${link} up`),
    `route add default via ${OUTSIDE_GATEWAY}`,
  ]);
  for (const place of ['fabric', ...NODES]) {
    await ipBatch(namespaceOf(lab, place), ['neigh flush all'], { force: true });
  }
  nft(edge!, edgeRules());
}

/** 1:1 translation and load balancers, like the gateway's datapath. */
function edgeRules(): string {
  const balancers = SERVICES.filter(({ balancer }) => balancer);
  const all = (lines: string[]) => lines.join('\n    ');
  const noSyn = 'tcp flags & (fin | syn | rst | ack) != syn';
  const own = balancers.map(({ balancer }) => balancer).join(', ');
  const toBalancer = balancers.flatMap(({ balancer, nodePort }) =>
    ['tcp', 'udp'].map(
      (proto) => `ip daddr ${balancer} ${proto} dport 80 dnat ip to ${PLACES.node1}:${nodePort}`,
    ),
  );
  return `
table ip edge {
  chain pre {
    type nat hook prerouting priority dstnat;
    ip daddr { ${own} } ${noSyn} accept
    ${all(toBalancer)}
    ${all(NODES.map((node) => `iif eth1 ip daddr ${PUBLIC[node]} dnat to ${PLACES[node]}`))}
  }
  chain post {
    type nat hook postrouting priority srcnat;
    ${all(NODES.map((node) => `oif eth1 ip saddr ${PLACES[node]} snat to ${PUBLIC[node]}`))}
  }
  chain guard {
    type filter hook prerouting priority -90;
    ct state established,related accept
    ct status dnat accept
    ip daddr { ${own} } meta l4proto tcp reject with tcp reset
    ip daddr { ${own} } reject with icmp port-unreachable
    # What conntrack does not take is translated without it.
    ct state invalid icmp type { 3, 4, 5, 11, 12 } drop
    ${all(NODES.map((node) => `iif eth1 ct state invalid ip daddr ${PUBLIC[node]} ip daddr set ${PLACES[node]} accept`))}
    iif eth1 ip daddr != { ${OUTSIDE_GATEWAY} } drop
  }
  chain stateless {
    type filter hook postrouting priority 300;
    ${all(NODES.map((node) => `oif eth1 ct state invalid ip saddr ${PLACES[node]} ip saddr set ${PUBLIC[node]}`))}
  }
  chain forward {
    type filter hook forward priority 0;
    iif eth0 oif eth1 ct state new ip saddr != { ${NODES.map((n) => PLACES[n]).join(', ')} } drop
  }
}
`;
}

function nft(namespace: string, rules: string): void {
  execFileSync('ip', ['netns', 'exec', namespace, 'nft', '-f', '-'], { input: rules });
}

/** Waits until every Service is in force on every node and behind its balancer. */
async function untilServed(lab: TestLab): Promise<void> {
  await until('every Service is in force', async () => {
    for (const node of NODES) {
      const rows = await askAgent<{ service: string; eligible: string[] }[]>(
        ...([lab.name, node, '/services'] as const),
      );
      const served = rows.filter(({ eligible }) => eligible.length > 0);
      if (served.length < 2 * SERVICES.filter(({ endpoint }) => endpoint).length) return false;
    }
    return true;
  });
}

/** Silences the kernels in a lab's places, so that only crafted packets answer. */
async function openSide(lab: TestLab, hasEdge: boolean): Promise<Side> {
  const { items } = await lab.kube.list('Pod', { namespace: 'default' });
  const places: Record<string, PlaceOptions> = {};
  for (const { metadata, spec, status } of items) {
    const place = Object.entries(PLACES).find(([, address]) => address === status!.podIP)![0];
    const name = metadata!.name!;
    const namespace = podNamespace(lab.name, 'default', name);
    const node = namespaceOf(lab.name, spec!.nodeName!);
    // A pod attached by TUN has no cable, and its frames have no addresses.
    const mac = HAS_CABLES || hasEdge ? macOf(node, podLink('default', name)) : '';
    places[place] = { path: namespacePath(namespace), link: 'eth0', mac };
    nft(namespace, SILENT);
  }
  const internet = namespaceOf(lab.name, hasEdge ? OUTSIDE : 'internet');
  const mac = macOf(namespaceOf(lab.name, hasEdge ? EDGE : 'cloud'), 'eth1');
  places.internet = { path: namespacePath(internet), link: 'eth0', mac };
  nft(internet, SILENT);
  for (const node of NODES) {
    const namespace = namespaceOf(lab.name, node);
    const own: [string, string] = [PLACES[node], 'kt0'];
    places[node] = { path: namespacePath(namespace), ...(hasEdge ? {} : { own }) };
    nft(namespace, silentNode(PLACES[node]));
    writeSysctls(namespace, [
      ['ipv4/icmp_ratemask', '0'],
      // Crafted path MTU errors are for the ends, not for the nodes' own routes.
      ['ipv4/route/min_pmtu', '1500'],
      // The receiver checks checksums, as with the datapath.
      ['netfilter/nf_conntrack_checksum', '0'],
    ]);
  }
  if (hasEdge) places[EDGE] = { path: namespacePath(namespaceOf(lab.name, EDGE)), table: true };
  return Side.open(lab.name, places);
}

const SILENT = `
table ip silent {
  chain in { type filter hook prerouting priority -500; policy drop; }
}
`;

/**
 * A node's kernel refuses packets without a socket, on client and masquerade ports. Crafted packets
 * carry a mark.
 */
function silentNode(address: string): string {
  const ports = `{ ${CLIENT_PORTS.join('-')}, 40000-65535 }`;
  return `
table ip silent {
  chain out {
    type filter hook output priority -400;
    meta mark & 0x100 == 0x100 accept
    ip saddr ${address} tcp sport ${ports} tcp flags & rst == rst drop
    icmp type destination-unreachable icmp code port-unreachable @th,136,8 17 @th,240,16 ${ports} drop
  }
}
`;
}

function macOf(namespace: string, link: string): string {
  const args = ['-n', namespace, '-j', 'link', 'show', link];
  const { stdout } = spawnSync('ip', args, { encoding: 'utf8' });
  return (JSON.parse(stdout) as { address: string }[])[0]!.address;
}
