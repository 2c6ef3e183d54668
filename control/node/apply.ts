import { readFileSync, writeFileSync } from 'node:fs';
import { KubetunError } from '../../datapath/error.ts';
import { parseAddress } from '../../datapath/wire/address.ts';
import type { Engine } from '../../datapath/worker/engine.ts';
import { ipBatch, ipJson } from './ip.ts';
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

const SYSCTL_ROOT = '/proc/sys/net/ipv4';
/** Tables that hold the routes of the plan and no others. */
const TABLES_PLANNED = [TABLE, TABLE_RANGES].map(String);

interface LinkJson {
  ifname: string;
  mtu: number;
  txqlen?: number;
  flags?: string[];
  addr_info?: { family: string; local: string; scope: string }[];
}

interface RouteJson {
  dst: string;
  dev?: string;
  /** Absent for the main table. */
  table?: string;
  prefsrc?: string;
}

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
  const name = device ?? ipJson<RouteJson>('-4', 'route', 'show', 'default')?.[0]?.dev;
  const refuse = (message: string): never => {
    const next = 'name the device that leads to the other nodes with --uplink';
    throw new KubetunError('KT_UPLINK', message, next);
  };
  if (name === undefined) return refuse('the node has no default route, so its uplink is unknown');
  const link = ipJson<LinkJson>('-4', 'addr', 'show', 'dev', name)?.[0];
  const global = link?.addr_info?.filter((a) => a.family === 'inet' && a.scope === 'global');
  if (!link || !global || global.length === 0) {
    const flaw = link ? 'has no IPv4 address' : 'is not in this network namespace';
    return refuse(`the uplink ${name} ${flaw}`);
  }
  return { name, mtu: link.mtu, addresses: global.map((a) => a.local) };
}

/** Global IPv4 addresses of all devices but the uplink and the TUN device. */
export function readOutside(uplink: Uplink, tun: string): string[] {
  const links = ipJson<LinkJson>('-4', 'addr', 'show') ?? [];
  const others = links.filter(({ ifname }) => ifname !== uplink.name && ifname !== tun);
  const addresses = others.flatMap((link) => link.addr_info ?? []);
  return addresses.filter((a) => a.family === 'inet' && a.scope === 'global').map((a) => a.local);
}

/** IPv4 addresses of this network namespace without loopback, as int32. */
export function readLocalAddresses(): number[] {
  const links = ipJson<LinkJson>('-4', 'addr', 'show') ?? [];
  const texts = links.flatMap((link) => link.addr_info ?? []).map(({ local }) => local);
  return texts.map((text) => parseAddress(text)!).filter((address) => address >>> 24 !== 127);
}

/** Whether a device of this network namespace has the address. */
export function isLocalAddress(address: string): boolean {
  return (ipJson<LinkJson>('-4', 'addr', 'show', 'to', `${address}/32`) ?? []).length > 0;
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
  const through = ipJson<RouteJson>('-4', 'route', 'show', 'table', 'all', 'dev', tun) ?? [];
  // `ip` leaves out of its answer what the command line names.
  const others = TABLES_PLANNED.flatMap((table) => {
    const routes = ipJson<RouteJson>('-4', 'route', 'show', 'table', table) ?? [];
    return routes.filter(({ dev }) => dev !== tun).map((route) => ({ ...route, table }));
  });
  return {
    rules: readRules(),
    routes: [...through.map((route) => ({ ...route, dev: tun })), ...others],
    links: ipJson<LinkJson>('addr', 'show') ?? [],
    sysctl: readSysctl,
  };
}

/** Differences between a plan and the system, one line each. Pure. */
export function diffSteering(plan: SteeringPlan, observed: Observed): string[] {
  const missing = diffRules(observed.rules, plan.rules, plan.localPref);
  for (const [path, value] of plan.sysctls) {
    const now = observed.sysctl(path)?.split(/\s+/).join(' ');
    if (now !== value) missing.push(`${path} is ${now ?? 'absent'}, not ${value}`);
  }
  const routes = new Set(observed.routes.map(routeKey));
  missing.push(...plan.setup.filter((line) => !isSetUp(words(line), observed, routes)));
  return [...missing, ...strayRoutes(plan, observed).map((line) => `ip ${line}`)];
}

/** Part for a plan that does not change. `address` is the node's own. */
export function steeringPart(plan: SteeringPlan, tun: string, address: string): Part {
  return {
    missing() {
      const observed = observeSteering(tun);
      return [...diffSteering(plan, observed), ...missingAddress(address, observed.links)];
    },
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
  const has = links.some((link) => (link.addr_info ?? []).some(({ local }) => local === address));
  return has
    ? []
    : [`no device has the node's address ${address}: give it back, or restart the agent`];
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
  if (want.addr !== undefined) {
    const address = want.addr.split('/')[0];
    return (link.addr_info ?? []).some(({ local }) => local === address);
  }
  const isUp = (link.flags ?? []).includes('UP');
  const has = (wanted: string | undefined, value?: number) =>
    wanted === undefined || wanted === String(value);
  return isUp && has(want.mtu, link.mtu) && has(want.txqueuelen, link.txqlen);
}

/** Destinations of the present routes to captured addresses. */
export function readCapturedRoutes(): string[] {
  const routes = ipJson<RouteJson>('route', 'show', 'table', String(TABLE_CAPTURED)) ?? [];
  return routes.map((route) => route.dst);
}

/** Removes rules, routes and the TUN device. It may be repeated. */
export function removeSteering(tun: string): void {
  ipBatch(undoRules(readRules()));
  // The kernel removes the device's routes with it.
  if (ipJson('link', 'show', 'dev', tun) !== null) ipBatch([`link del dev ${tun}`]);
}

function readRules(): Rule[] {
  return (ipJson<RuleJson>('-4', 'rule', 'show') ?? []).map(parseRule);
}

/**
 * Sets net.ipv4.`path`, if it differs: /proc/sys may be read-only. Throws KubetunError KT_SYSCTL.
 */
export function writeSysctl(path: string, value: string): void {
  if (readSysctl(path)?.split(/\s+/).join(' ') === value) return;
  try {
    writeFileSync(`${SYSCTL_ROOT}/${path}`, value);
  } catch (error) {
    throw new KubetunError(
      'KT_SYSCTL',
      `net.ipv4.${path.replaceAll('/', '.')} cannot be set to ${value}`,
      'set it by sysctl(8), or run as root where /proc/sys is writable',
      { cause: error },
    );
  }
}

function readSysctl(path: string): string | null {
  try {
    return readFileSync(`${SYSCTL_ROOT}/${path}`, 'utf8').trim();
  } catch {
    return null;
  }
}
