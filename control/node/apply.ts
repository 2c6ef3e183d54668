import { readFileSync, writeFileSync } from 'node:fs';
import { KubetunError } from '../../datapath/error.ts';
import { parseAddress } from '../../datapath/wire/address.ts';
import { ipBatch, ipJson } from './ip.ts';
import {
  diffRules,
  isOurs,
  parseRule,
  type Rule,
  type RuleJson,
  TABLE,
  TABLE_CAPTURED,
  undoRules,
} from './rule.ts';
import type { SteeringPlan } from './steering.ts';

const SYSCTL_ROOT = '/proc/sys/net/ipv4';

interface LinkJson {
  ifname: string;
  mtu: number;
  addr_info?: { family: string; local: string; scope: string }[];
}

interface RouteJson {
  dst: string;
  dev?: string;
}

/** The device that leads to the other nodes. */
export interface Uplink {
  name: string;
  mtu: number;
  /** Its global IPv4 addresses. */
  addresses: string[];
}

/**
 * A device with at least one address; null takes that of the default route. Throws KubetunError KT_UPLINK.
 */
export function readUplink(device: string | null): Uplink {
  const name = device ?? ipJson<RouteJson>('-4', 'route', 'show', 'default')?.[0]?.dev;
  const refuse = (message: string): never => {
    const next = 'name the device that leads to the other nodes with --uplink';
    throw new KubetunError('KT_UPLINK', message, next);
  };
  if (name === undefined) return refuse('the node has no default route to tell its uplink by');
  const link = ipJson<LinkJson>('-4', 'addr', 'show', 'dev', name)?.[0];
  const global = link?.addr_info?.filter((a) => a.family === 'inet' && a.scope === 'global');
  if (!link || !global || global.length === 0) {
    const flaw = link ? 'has no IPv4 address' : 'is not in this network namespace';
    return refuse(`the uplink ${name} ${flaw}`);
  }
  return { name, mtu: link.mtu, addresses: global.map((a) => a.local) };
}

/** Global IPv4 addresses of the devices that lead elsewhere than the uplink, in the order of the devices. */
export function readOutside(uplink: Uplink, tun: string): string[] {
  const links = ipJson<LinkJson>('-4', 'addr', 'show') ?? [];
  const others = links.filter(({ ifname }) => ifname !== uplink.name && ifname !== tun);
  const addresses = others.flatMap((link) => link.addr_info ?? []);
  return addresses.filter((a) => a.family === 'inet' && a.scope === 'global').map((a) => a.local);
}

/** All IPv4 addresses of this network namespace but loopback's, as int32. */
export function readLocalAddresses(): number[] {
  const links = ipJson<LinkJson>('-4', 'addr', 'show') ?? [];
  const texts = links.flatMap((link) => link.addr_info ?? []).map(({ local }) => local);
  return texts.map((text) => parseAddress(text)!).filter((address) => address >>> 24 !== 127);
}

/** True if a device of this network namespace has the address. */
export function isLocalAddress(address: string): boolean {
  return (ipJson<LinkJson>('-4', 'addr', 'show', 'to', `${address}/32`) ?? []).length > 0;
}

/**
 * Brings a plan about; what is there already stays untouched, so that repeating it disturbs no packet. If it
 * fails on a node that was not steered before, no rule of it stays. Throws KubetunError KT_IP, KT_SYSCTL.
 */
export function applySteering(plan: SteeringPlan): void {
  for (const [path, value] of plan.sysctls) writeSysctl(path, value);
  ipBatch(plan.setup);
  const before = readRules();
  try {
    ipBatch(diffRules(before, plan.rules, plan.localPref));
  } catch (error) {
    if (!before.some(isOurs)) ipBatch(undoRules(readRules()));
    throw error;
  }
}

/** What of a plan is not in force, one line each; empty if all is well. */
export function checkSteering(plan: SteeringPlan, tun: string): string[] {
  const missing = diffRules(readRules(), plan.rules, plan.localPref);
  for (const [path, value] of plan.sysctls) {
    const now = readSysctl(path);
    if (now !== value) missing.push(`${path} is ${now ?? 'absent'}, not ${value}`);
  }
  const routes = [
    ...(ipJson<RouteJson>('route', 'show', 'table', String(TABLE)) ?? []),
    ...(ipJson<RouteJson>('route', 'show', 'dev', tun) ?? []).map((r) => ({ ...r, dev: tun })),
  ];
  for (const line of plan.setup.filter((l) => l.startsWith('route replace '))) {
    const destination = line.split(' ')[2];
    if (!routes.some((r) => r.dst === destination && r.dev === tun)) missing.push(line);
  }
  return missing;
}

/** Destinations of the routes to captured addresses that are there. */
export function readCapturedRoutes(): string[] {
  const routes = ipJson<RouteJson>('route', 'show', 'table', String(TABLE_CAPTURED)) ?? [];
  return routes.map((route) => route.dst);
}

/** Addresses of a range that the main table has routes of their own to. */
export function readRoutesIn(range: string): string[] {
  const routes = ipJson<RouteJson>('-4', 'route', 'show', 'root', range) ?? [];
  return routes.map((route) => route.dst);
}

/** Takes rules, routes and the TUN device off the node; nothing is left, and repeating it does no harm. */
export function removeSteering(tun: string): void {
  ipBatch(undoRules(readRules()));
  // With the device go its routes.
  if (ipJson('link', 'show', 'dev', tun) !== null) ipBatch([`link del dev ${tun}`]);
}

function readRules(): Rule[] {
  return (ipJson<RuleJson>('-4', 'rule', 'show') ?? []).map(parseRule);
}

/** Sets net.ipv4.`path`, unless it has the value: /proc/sys may be read-only. Throws KubetunError KT_SYSCTL. */
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
