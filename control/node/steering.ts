// Which packets of a node pass its TUN device: routing rules and routes, as a pure plan. The number of rules does
// not depend on the number of pods. Every one of them was probed on Linux 6.18; the reasons are beside them.

/** Routing table with the one route into the datapath. */
export const TABLE = 100;
/** Routing table of the captured addresses outside the Service range; for the node's own packets only. */
export const TABLE_CAPTURED = 101;
/** Where the local table is looked up: behind our rules, so that the node's own addresses are steered too. */
export const PREF_LOCAL = 32_000;
/** Our rules lie below this. */
export const PREF_MAX = 100;
/** Every pod's gateway: an address that each node has on lo. */
export const POD_GATEWAY = '169.254.1.1';
/** The TUN's queue: 500, the default, overflows with 16 streams; 1000 never did. */
const QUEUE_PACKETS = 2000;
const PROTOCOLS = ['tcp', 'udp', 'icmp', 'sctp'] as const;

export interface SteeringInput {
  /** The TUN device. */
  tun: string;
  /** The device that leads to the other nodes. */
  uplink: string;
  /** MTU of the uplink, bytes. */
  mtu: number;
  /** The node's primary address. */
  nodeAddress: string;
  serviceRange: string;
  podRanges: string[];
  /** Ports, inclusive: NodePorts, masquerade, and the node's own sockets. */
  nodePorts: [number, number];
  snatPorts: [number, number];
  ephemeralPorts: [number, number];
}

/** A routing rule, in the terms of ip-rule(8). */
export interface Rule {
  pref: number;
  from?: string;
  to?: string;
  iif?: string;
  protocol?: string;
  /** Destination ports, inclusive; the kernel refuses ranges that end at 65535. */
  dports?: [number, number];
  action: string;
}

export interface SteeringPlan {
  /** `ip -batch` lines that are safe to repeat: the device, then the routes. */
  setup: string[];
  rules: Rule[];
  /** Value by path below /proc/sys/net/ipv4. */
  sysctls: [string, string][];
}

/** What steers a node. */
export function planSteering(input: SteeringInput): SteeringPlan {
  const { tun, mtu, nodeAddress, serviceRange } = input;
  return {
    setup: [
      `link set dev ${tun} mtu ${mtu} txqueuelen ${QUEUE_PACKETS} up`,
      // Without src the kernel picks the pods' gateway as the source of what the node sends.
      `route replace default dev ${tun} src ${nodeAddress} table ${TABLE}`,
      `route replace ${serviceRange} dev ${tun} src ${nodeAddress}`,
    ],
    rules: [
      ...guardRules(input),
      ...nodeRules(input),
      ...forwardRules(input),
      ...strayRules(input),
    ],
    sysctls: [
      // What comes back from the TUN has the node's own address as source or destination.
      [`conf/${tun}/accept_local`, '1'],
      [`conf/${tun}/rp_filter`, '0'],
    ],
  };
}

/** Ordinary routing, local addresses first. */
const PLAINLY = `goto ${PREF_LOCAL}`;
const STEER = `lookup ${TABLE}`;
const CAPTURED = `lookup ${TABLE_CAPTURED}`;

function guardRules(input: SteeringInput): Rule[] {
  const { tun, uplink, nodeAddress, serviceRange, ephemeralPorts } = input;
  return [
    // A Service address that comes back untranslated would circle for ever.
    { pref: 1, iif: tun, to: serviceRange, action: 'prohibit' },
    // The node's own connections, the agent's to the API among them, live without the datapath.
    {
      pref: 1,
      iif: uplink,
      to: nodeAddress,
      protocol: 'tcp',
      dports: ephemeralPorts,
      action: PLAINLY,
    },
  ];
}

/** What the node itself sends. */
function nodeRules({ nodeAddress, podRanges, nodePorts, snatPorts }: SteeringInput): Rule[] {
  const own = (pref: number, protocol: string): Rule[] =>
    [nodePorts, snatPorts].map((dports) => ({
      pref,
      iif: 'lo',
      to: nodeAddress,
      protocol,
      dports,
      action: STEER,
    }));
  return [
    { pref: 2, iif: 'lo', to: '127.0.0.0/8', action: PLAINLY },
    // The node's ICMP errors quote translated packets.
    { pref: 3, iif: 'lo', protocol: 'icmp', action: STEER },
    // To its own NodePorts; and the answers of host endpoints to masqueraded clients.
    ...own(4, 'tcp'),
    ...own(5, 'udp'),
    { pref: 6, iif: 'lo', to: nodeAddress, action: PLAINLY },
    // Answers of local sockets to pods.
    ...podRanges.map((to) => ({ pref: 7, iif: 'lo', to, action: STEER })),
    { pref: 8, iif: 'lo', action: CAPTURED },
  ];
}

/** What arrives, by protocol: a rule for everything would also catch ARP's look-up. */
function forwardRules({ tun }: SteeringInput): Rule[] {
  return [
    { pref: 10, iif: tun, action: PLAINLY },
    { pref: 11, iif: 'lo', action: PLAINLY },
    ...PROTOCOLS.map((protocol, i) => ({ pref: 12 + i, protocol, action: STEER })),
  ];
}

/**
 * Other protocols from or to pods do not pass at all, because no policy could judge them. ARP looks routes up
 * with the pod as its source, for the gateway alone, so that the gateway stays reachable.
 */
function strayRules({ podRanges }: SteeringInput): Rule[] {
  return [
    { pref: 16, to: POD_GATEWAY, action: PLAINLY },
    ...podRanges.map((from) => ({ pref: 17, from, action: 'blackhole' })),
    ...podRanges.map((to) => ({ pref: 18, to, action: 'blackhole' })),
  ];
}

/** Arguments for `ip rule add` and `del`; also a rule's identity. */
export function formatRule(rule: Rule): string {
  const words = [`pref ${rule.pref}`];
  if (rule.from) words.push(`from ${bare(rule.from)}`);
  if (rule.to) words.push(`to ${bare(rule.to)}`);
  if (rule.iif) words.push(`iif ${rule.iif}`);
  if (rule.protocol) words.push(`ipproto ${rule.protocol}`);
  if (rule.dports) words.push(`dport ${rule.dports[0]}-${rule.dports[1]}`);
  return `${words.join(' ')} ${rule.action}`;
}

/** A range of one address as ip(8) shows it. */
function bare(range: string): string {
  return range.endsWith('/32') ? range.slice(0, -3) : range;
}

/** One rule of `ip -j rule show`. */
export interface RuleJson {
  priority: number;
  src?: string;
  srclen?: number;
  dst?: string;
  dstlen?: number;
  iif?: string;
  ipproto?: string;
  dport?: number;
  dport_start?: number;
  dport_end?: number;
  table?: string;
  goto?: number;
  action?: string;
}

/** The rule behind a line of `ip -j rule show`. */
export function parseRule(json: RuleJson): Rule {
  const prefix = (address?: string, length?: number): string | undefined =>
    address === undefined || address === 'all'
      ? undefined
      : length === undefined || length === 32
        ? address
        : `${address}/${length}`;
  const first = json.dport_start ?? json.dport;
  const action =
    json.action ?? (json.goto === undefined ? `lookup ${json.table}` : `goto ${json.goto}`);
  return {
    pref: json.priority,
    from: prefix(json.src, json.srclen),
    to: prefix(json.dst, json.dstlen),
    iif: json.iif,
    protocol: json.ipproto,
    dports: first === undefined ? undefined : [first, json.dport_end ?? first],
    action,
  };
}

const ACTIONS_OURS = new Set([STEER, CAPTURED, PLAINLY, 'prohibit', 'blackhole']);

/** True if a rule can only have come from a plan of this kind. */
export function isOurs(rule: Rule): boolean {
  return rule.pref > 0 && rule.pref < PREF_MAX && ACTIONS_OURS.has(rule.action);
}

const LOCAL_FIRST: Rule = { pref: 0, action: 'lookup local' };
const LOCAL_BEHIND: Rule = { pref: PREF_LOCAL, action: 'lookup local' };

/**
 * `ip -batch` lines from the rules that are there to the plan's; none if they are there already. At every moment
 * between two lines local delivery works, and nothing circles: in the order of the rules themselves, the local
 * look-up is added behind before it goes in front.
 */
export function diffRules(current: Rule[], wanted: Rule[]): string[] {
  const have = new Set(current.map(formatRule));
  const want = new Set(wanted.map(formatRule));
  const added = [LOCAL_BEHIND, ...wanted].map(formatRule).filter((text) => !have.has(text));
  const stale = current
    .filter(isOurs)
    .map(formatRule)
    .filter((text) => !want.has(text));
  const lines = [...added.map((t) => `rule add ${t}`), ...stale.map((t) => `rule del ${t}`)];
  if (have.has(formatRule(LOCAL_FIRST))) lines.push(`rule del ${formatRule(LOCAL_FIRST)}`);
  return lines;
}

/** `ip -batch` lines that take every rule of ours away again, the steering ones first. */
export function undoRules(current: Rule[]): string[] {
  const have = new Set(current.map(formatRule));
  const ours = current.filter(isOurs).sort((a, b) => b.pref - a.pref);
  const lines = ours.map((rule) => `rule del ${formatRule(rule)}`);
  if (have.has(formatRule(LOCAL_FIRST))) {
    if (have.has(formatRule(LOCAL_BEHIND))) lines.push(`rule del ${formatRule(LOCAL_BEHIND)}`);
    return lines;
  }
  if (!have.has(formatRule(LOCAL_BEHIND)) && ours.length === 0) return lines;
  return [`rule add ${formatRule(LOCAL_FIRST)}`, ...lines, `rule del ${formatRule(LOCAL_BEHIND)}`];
}
