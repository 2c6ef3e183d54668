// Routing rules in the terms of ip-rule(8), and the way from the rules that are there to those that
// are wanted.

/** Routing table with the one route into the datapath. */
export const TABLE = 100;
/**
 * Routing table of the captured addresses outside the Service range; for the node's own packets
 * only.
 */
export const TABLE_CAPTURED = 101;
/**
 * Routing table with a route into the datapath for every range of pods, so that the number of rules
 * does not grow with the number of nodes.
 */
export const TABLE_RANGES = 103;
/**
 * Routing table of the node's own pods, in a lab. Only a rule of ours leads there, so that without
 * our rules no packet finds a pod, and a loose reverse path filter takes none from one.
 */
export const TABLE_PODS = 102;
/**
 * Where the local table is looked up: behind our rules, so that the node's own addresses are
 * steered too.
 */
export const PREF_LOCAL = 32_000;
/** The same on a gateway, whose own addresses are nobody's but its own. */
export const PREF_LOCAL_FIRST = 0;
/** Our rules lie below this. */
const PREF_MAX = 100;
/**
 * The same on a node that others have rules on too: right behind ours, because ordinary routing
 * there means their rules as well, and these expect local addresses to be looked up before them.
 */
export const PREF_LOCAL_NARROW = PREF_MAX;
/** Ordinary routing, local addresses first. */
export const PLAINLY = `goto ${PREF_LOCAL}`;
export const PLAINLY_NARROW = `goto ${PREF_LOCAL_NARROW}`;
/** Where a node that others have rules on too has the rules about pods. */
export const PREF_PODS_NARROW = 15;
export const JUMP_NARROW = `goto ${PREF_PODS_NARROW}`;
/** The same where local addresses are looked up first, as ever. */
export const MAIN = 'goto 32766';
export const STEER = `lookup ${TABLE}`;
export const STEER_TO_PODS = `lookup ${TABLE_RANGES}`;
export const CAPTURED = `lookup ${TABLE_CAPTURED}`;

/** Leads to the node's own pods, right behind local addresses. */
export const PODS_RULE: Rule = { pref: PREF_LOCAL + 1, action: `lookup ${TABLE_PODS}` };

/** A routing rule, in the terms of ip-rule(8). */
export interface Rule {
  pref: number;
  from?: string;
  to?: string;
  iif?: string;
  protocol?: string;
  /** Source ports, inclusive. */
  sports?: [number, number];
  /** Destination ports, inclusive; the kernel refuses ranges that end at 65535. */
  dports?: [number, number];
  action: string;
}

/** Arguments for `ip rule add` and `del`; also a rule's identity. */
export function formatRule(rule: Rule): string {
  const words = [`pref ${rule.pref}`];
  if (rule.from) words.push(`from ${bare(rule.from)}`);
  if (rule.to) words.push(`to ${bare(rule.to)}`);
  if (rule.iif) words.push(`iif ${rule.iif}`);
  if (rule.protocol) words.push(`ipproto ${rule.protocol}`);
  if (rule.sports) words.push(`sport ${rule.sports[0]}-${rule.sports[1]}`);
  if (rule.dports) words.push(`dport ${rule.dports[0]}-${rule.dports[1]}`);
  return `${words.join(' ')} ${rule.action}`;
}

/** A range of one address as ip(8) shows it. */
export function bare(range: string): string {
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
  sport?: number;
  sport_start?: number;
  sport_end?: number;
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
  const range = (one?: number, first = one, last = first): [number, number] | undefined =>
    first === undefined || last === undefined ? undefined : [first, last];
  const action =
    json.action ?? (json.goto === undefined ? `lookup ${json.table}` : `goto ${json.goto}`);
  return {
    pref: json.priority,
    from: prefix(json.src, json.srclen),
    to: prefix(json.dst, json.dstlen),
    iif: json.iif,
    protocol: json.ipproto,
    sports: range(json.sport, json.sport_start, json.sport_end),
    dports: range(json.dport, json.dport_start, json.dport_end),
    action,
  };
}

const ACTIONS_OURS = new Set([
  ...[STEER, STEER_TO_PODS, CAPTURED, PLAINLY, PLAINLY_NARROW, MAIN, JUMP_NARROW],
  ...['prohibit', 'blackhole'],
]);

/** True if a rule can only have come from a plan of this kind. */
export function isOurs(rule: Rule): boolean {
  if (rule.pref === PODS_RULE.pref) return rule.action === PODS_RULE.action;
  return rule.pref > 0 && rule.pref < PREF_MAX && ACTIONS_OURS.has(rule.action);
}

const LOCAL_FIRST = `pref ${PREF_LOCAL_FIRST} lookup local`;
/** `ip rule flush` takes them off, and what has no rule of ours then goes nowhere. */
const KERNEL_RULES = ['pref 32766 lookup main', 'pref 32767 lookup default'];
const LOCALS_BEHIND = [PREF_LOCAL, PREF_LOCAL_NARROW].map((pref) => `pref ${pref} lookup local`);

/**
 * `ip -batch` lines from the rules that are there to the plan's; none if they are there already. At
 * every moment between two lines local delivery works, and nothing circles: in the order of the
 * rules themselves, the local look-up is added behind before it goes in front.
 *
 * @param localPref where the plan has local addresses looked up.
 */
export function diffRules(current: Rule[], wanted: Rule[], localPref: number): string[] {
  const behind = `pref ${localPref} lookup local`;
  const have = new Set(current.map(formatRule));
  const want = new Set(wanted.map(formatRule));
  const added = [behind, ...KERNEL_RULES, ...want].filter((text) => !have.has(text));
  const stale = current
    .filter(isOurs)
    .map(formatRule)
    .filter((text) => !want.has(text));
  const locals = [LOCAL_FIRST, ...LOCALS_BEHIND].filter((t) => t !== behind && have.has(t));
  return [
    ...added.map((t) => `rule add ${t}`),
    ...[...stale, ...locals].map((t) => `rule del ${t}`),
  ];
}

/** `ip -batch` lines that take every rule of ours away again, the steering ones first. */
export function undoRules(current: Rule[]): string[] {
  const have = new Set(current.map(formatRule));
  const ours = current.filter(isOurs).sort((a, b) => b.pref - a.pref);
  const behind = LOCALS_BEHIND.filter((text) => have.has(text));
  if (ours.length + behind.length === 0) return [];
  return [
    ...(have.has(LOCAL_FIRST) ? [] : [`rule add ${LOCAL_FIRST}`]),
    ...[...ours.map(formatRule), ...behind].map((text) => `rule del ${text}`),
  ];
}
