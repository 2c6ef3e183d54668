import { KubetunError } from '../../datapath/error.ts';
import type { Engine } from '../../datapath/worker/engine.ts';
import { parseAddresses } from '../model/parse.ts';
import {
  addressesOf,
  hasLink,
  ipBatch,
  ipJson,
  type LinkJson,
  type RouteJson,
  readLinks,
  readRoutes,
  readSysctl,
  writeSysctl,
} from './ip.ts';
import type { Part } from './reconcile.ts';
import {
  diffRules,
  isOurs,
  parseRule,
  type Rule,
  type RuleJson,
  TABLE,
  TABLE_CAPTURED,
  TABLE_RANGES,
  undoRules,
} from './rule.ts';
import type { SteeringPlan } from './steering.ts';

/** Tables that hold the routes of the plan and no others. */
const TABLES_PLANNED = [TABLE, TABLE_RANGES].map(String);

/** The device that leads to the other nodes. */
export interface Uplink {
  name: string;
  mtu: number;
  /** Its global IPv4 addresses. */
  addresses: string[];
}

/**
 * Reads the uplink: a device with at least one IPv4 address. Null takes that of the default route.
 * Throws KubetunError KT_UPLINK.
 */
export function readUplink(device: string | null): Uplink {
  const name = device ?? readRoutes('default')[0]?.dev;
  const refuse = (message: string): never => {
    const next = 'name the device that leads to the other nodes with --uplink';
    throw new KubetunError('KT_UPLINK', message, next);
  };
  if (name === undefined) return refuse('the node has no default route, so its uplink is unknown');
  const [link] = readLinks('dev', name);
  if (!link) return refuse(`the uplink ${name} is not in this network namespace`);
  const addresses = addressesOf(link, 'global');
  if (addresses.length === 0) return refuse(`the uplink ${name} has no IPv4 address`);
  return { name, mtu: link.mtu, addresses };
}

/** Global IPv4 addresses of all devices but the uplink and the TUN device. */
export function readOutside(uplink: Uplink, tun: string): string[] {
  const others = readLinks().filter(({ ifname }) => ifname !== uplink.name && ifname !== tun);
  return others.flatMap((link) => addressesOf(link, 'global'));
}

/** IPv4 addresses of this network namespace without loopback, as int32. */
export function readLocalAddresses(): number[] {
  const addresses = parseAddresses(readLinks().flatMap((link) => addressesOf(link)));
  return addresses.filter((address) => address >>> 24 !== 127);
}

/**
 * Applies a plan and changes only differences, so that repeating it disturbs no packet. After a
 * failure on a node without steering, no rule stays. Throws KubetunError KT_IP, KT_SYSCTL.
 */
export function applySteering(plan: SteeringPlan, tun: string): void {
  const observed = observeSteering(tun);
  for (const [path, value] of plan.sysctls) writeSysctl(path, value);
  ipBatch(plan.setup);
  ipBatch(strayRoutes(plan, observed));
  const before = observed.rules;
  try {
    ipBatch(diffRules(before, plan.rules, plan.localPref));
  } catch (error) {
    if (!before.some(isOurs)) ipBatch(undoRules(readRules()));
    throw error;
  }
}

/** State of the system, as far as a plan covers it. */
export interface Observed {
  rules: Rule[];
  /** Routes through the TUN device in any table, and all routes of the planned tables. */
  routes: RouteJson[];
  links: LinkJson[];
  sysctl: (path: string) => string | null;
}

export function observeSteering(tun: string): Observed {
  // `ip` omits from its output what its command line names.
  const through = readRoutes('table', 'all', 'dev', tun).map((route) => ({ ...route, dev: tun }));
  const others = TABLES_PLANNED.flatMap((table) =>
    readRoutes('table', table).map((route) => ({ ...route, table })),
  ).filter(({ dev }) => dev !== tun);
  return {
    ...{ rules: readRules(), routes: [...through, ...others] },
    ...{ links: readLinks(), sysctl: readSysctl },
  };
}

/** Differences between a plan and the system, one line each. Pure. */
export function diffSteering(plan: SteeringPlan, observed: Observed): string[] {
  const missing = diffRules(observed.rules, plan.rules, plan.localPref);
  missing.push(...diffSysctls(plan, observed.sysctl));
  const routes = new Set(observed.routes.map(routeKey));
  missing.push(...plan.setup.filter((line) => !isSetUp(words(line), observed, routes)));
  return [...missing, ...strayRoutes(plan, observed).map((line) => `ip ${line}`)];
}

/** The sysctls that differ from a plan, most of which the kernel reports by no event. */
export function diffSysctls({ sysctls }: SteeringPlan, sysctl = readSysctl): string[] {
  return sysctls.flatMap(([path, value]) => {
    const now = sysctl(path);
    return now === value ? [] : [`${path} is ${now ?? 'absent'}, not ${value}`];
  });
}

/** Part for a plan that does not change. `address` is the node's own. */
export function steeringPart(plan: SteeringPlan, tun: string, address: string): Part {
  return {
    missing() {
      const observed = observeSteering(tun);
      return [...diffSteering(plan, observed), ...missingAddress(address, observed.links)];
    },
    missingSilently: () => diffSysctls(plan),
    mend: () => applySteering(plan, tun),
  };
}

/** The devices of a datapath, which any root process may delete. */
export function devicesPart(engine: Pick<Engine, 'lostDevices' | 'renewDevices'>): Part {
  return {
    missing: () => engine.lostDevices().map((name) => `the device ${name} is gone`),
    mend: () => engine.renewDevices(),
  };
}

/**
 * Replies to an address that the node has lost do not arrive. Only an administrator can restore it.
 */
export function missingAddress(address: string, links: LinkJson[]): string[] {
  if (links.some((link) => addressesOf(link).includes(address))) return [];
  return [`no device has the node's address ${address}: give it back, or restart the agent`];
}

/** `ip -batch` lines that delete routes without a plan from the planned tables. */
function strayRoutes({ setup }: SteeringPlan, { routes }: Observed): string[] {
  const wanted = new Set(
    setup.map(words).map(({ route, dev, table }) => `${route} ${dev} ${table}`),
  );
  return routes
    .filter(({ table }) => TABLES_PLANNED.includes(table ?? ''))
    .filter(({ dst, dev, table }) => !wanted.has(`${dst} ${dev} ${table}`))
    .map(({ dst, dev, table }) => `route del ${dst}${dev ? ` dev ${dev}` : ''} table ${table}`);
}

function routeKey({ dst, dev, table, prefsrc }: Partial<RouteJson>): string {
  return `${dst} ${dev} ${table} ${prefsrc}`;
}

/** Keywords of a setup line and their values: `route` is the destination, `addr` the address. */
function words(line: string): Record<string, string> {
  const named = [...line.matchAll(/(\S+) (?:(?:replace|set) (?:dev )?)?(\S+)/g)];
  return Object.fromEntries(named.map(([, key, value]) => [key!, value!]));
}

function isSetUp(want: Record<string, string>, { links }: Observed, routes: Set<string>): boolean {
  if (want.route !== undefined) {
    const { route: dst, src: prefsrc, ...rest } = want;
    return routes.has(routeKey({ ...rest, dst, ...(prefsrc && { prefsrc }) }));
  }
  const link = links.find(({ ifname }) => ifname === (want.link ?? want.dev));
  if (!link) return false;
  if (want.addr !== undefined) return addressesOf(link).includes(want.addr.split('/')[0]!);
  const isUp = (link.flags ?? []).includes('UP');
  const has = (wanted: string | undefined, value?: number) =>
    wanted === undefined || wanted === String(value);
  return isUp && has(want.mtu, link.mtu) && has(want.txqueuelen, link.txqlen);
}

/** Destinations of the present routes to captured addresses. */
export function readCapturedRoutes(): string[] {
  return readRoutes('table', String(TABLE_CAPTURED)).map(({ dst }) => dst);
}

/** Removes rules, routes and the TUN device. It may be repeated. */
export function removeSteering(tun: string): void {
  ipBatch(undoRules(readRules()));
  // The kernel removes the device's routes with it.
  if (hasLink(tun)) ipBatch([`link del dev ${tun}`]);
}

function readRules(): Rule[] {
  return (ipJson<RuleJson>('-4', 'rule', 'show') ?? []).map(parseRule);
}
