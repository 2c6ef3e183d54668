// Routing rules in terms of ip-rule(8), and the change from observed to wanted rules.

/** Routing table with the one route into the datapath. */
export const TABLE = 100;
/**
 * Routing table of captured addresses outside the Service range. Only the node's own packets use
 * it.
 */
export const TABLE_CAPTURED = 101;
/**
 * Routing table with a route into the datapath for every pod range, so that the number of rules
 * does not grow with the number of nodes.
 */
export const TABLE_RANGES = 103;
/**
 * Routing table of a lab node's own pods. Only our rules lead to it: without them no packet reaches
 * a pod, and a loose reverse path filter accepts none from a pod.
 */
export const TABLE_PODS = 102;
/** Lookup of the local table: after our rules, so that the node's own addresses are steered too. */
export const PREF_LOCAL = 32_000;
/** Lookup of the local table on a gateway, which does not steer its own addresses. */
export const PREF_LOCAL_FIRST = 0;
/** Our rules have preferences below this. */
const PREF_MAX = 100;
/**
 * Lookup of the local table on a node with foreign rules: right after ours. Ordinary routing there
 * includes the foreign rules, which expect the local lookup before them.
 */
export const PREF_LOCAL_NARROW = PREF_MAX;
/** Ordinary routing, local addresses first. */
export const PLAINLY = `goto ${PREF_LOCAL}`;
export const PLAINLY_NARROW = `goto ${PREF_LOCAL_NARROW}`;
/** Preference of the rules about pods on a node with foreign rules. */
export const PREF_PODS_NARROW = 15;
export const JUMP_NARROW = `goto ${PREF_PODS_NARROW}`;
/** Ordinary routing if the local lookup comes first, as on a gateway. */
export const MAIN = 'goto 32766';
export const STEER = `lookup ${TABLE}`;
export const STEER_TO_PODS = `lookup ${TABLE_RANGES}`;
export const CAPTURED = `lookup ${TABLE_CAPTURED}`;

/** Leads to the node's own pods, right after local addresses. */
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

/** Arguments for `ip rule add` and `del`, and the rule's identity. */
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

/** A single-address range as ip(8) prints it. */
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

/** The rule of an entry of `ip -j rule show`. */
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

/** True if only a plan of this kind can have created the rule. */
export function isOurs(rule: Rule): boolean {
  if (rule.pref === PODS_RULE.pref) return rule.action === PODS_RULE.action;
  return rule.pref > 0 && rule.pref < PREF_MAX && ACTIONS_OURS.has(rule.action);
}

const LOCAL_FIRST = `pref ${PREF_LOCAL_FIRST} lookup local`;
/** Kernel rules for ordinary routing. `ip rule flush` deletes them too. */
const KERNEL_RULES = ['pref 32766 lookup main', 'pref 32767 lookup default'];
const LOCALS_BEHIND = [PREF_LOCAL, PREF_LOCAL_NARROW].map((pref) => `pref ${pref} lookup local`);

/**
 * `ip -batch` lines from the observed rules to the plan's. Empty if they are equal. After every
 * line local delivery works and no packet loops: the local lookup is added at its new place before
 * the old one goes.
 * @param localPref preference of the local lookup in the plan.
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

/** `ip -batch` lines that remove all our rules, steering ones first. */
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
