// Brings a plan about, takes it back, and says what of it is missing.
import { existsSync } from 'node:fs';
import { ipBatch, ipJson } from '../host/ip.ts';
import { diffSysctls, writeSysctls } from '../host/sysctl.ts';
import { namespacePath } from '../state/names.ts';
import type { Expectation, Step } from './step.ts';

/** Applies every step in order. If one fails those before it are undone. Throws KubetunError KT_IP, KT_SYSCTL. */
export async function applyPlan(steps: Step[]): Promise<void> {
  const done: Step[] = [];
  try {
    for (const step of steps) {
      // Before it is applied: a step that fails halfway has left something too.
      done.push(step);
      await applyStep(step);
    }
  } catch (error) {
    await undoPlan(done.filter((step, i) => i < done.length - 1 || step.kind !== 'namespace'));
    throw error;
  }
}

async function applyStep(step: Step): Promise<void> {
  switch (step.kind) {
    case 'namespace':
      return ipBatch(null, [`netns add ${step.namespace}`]);
    case 'sysctl':
      return writeSysctls(step.namespace, step.values);
    case 'network':
      return ipBatch(step.namespace, step.lines);
  }
}

/** Takes every step back, the last first; what is gone already is no error, so that it can be repeated. */
export async function undoPlan(steps: Step[]): Promise<void> {
  for (const step of steps.toReversed()) await undoStep(step);
}

async function undoStep(step: Step): Promise<void> {
  if (!existsSync(namespacePath(step.namespace))) return;
  switch (step.kind) {
    case 'namespace':
      return ipBatch(null, [`netns del ${step.namespace}`], { force: true });
    case 'sysctl':
      return;
    case 'network':
      return ipBatch(step.namespace, step.undo, { force: true });
  }
}

/** What of a plan is not there, one line each; empty if all is well. */
export async function checkPlan(steps: Step[]): Promise<string[]> {
  const missing: string[] = [];
  for (const step of steps) {
    if (!existsSync(namespacePath(step.namespace))) {
      if (step.kind === 'namespace') missing.push(`network namespace ${step.namespace} is gone`);
    } else if (step.kind === 'sysctl') {
      missing.push(...diffSysctls(step.namespace, step.values));
    } else if (step.kind === 'network') {
      missing.push(...(await checkNetwork(step.namespace, step.expect)));
    }
  }
  return missing;
}

interface LinkJson {
  ifname: string;
  mtu: number;
  addr_info: { local: string; prefixlen: number }[];
}

interface RouteJson {
  dst: string;
  gateway?: string;
}

async function checkNetwork(namespace: string, expect: Expectation[]): Promise<string[]> {
  const links = (await ipJson<LinkJson>(namespace, '-4', 'addr', 'show')) ?? [];
  // `ip -4 addr` leaves out links that have no address.
  const bare = (await ipJson<LinkJson>(namespace, 'link', 'show')) ?? [];
  const routes = (await ipJson<RouteJson>(namespace, '-4', 'route', 'show')) ?? [];
  return expect
    .filter((want) => !isMet(want, links, bare, routes))
    .map((want) => describe(namespace, want));
}

function isMet(
  want: Expectation,
  links: LinkJson[],
  bare: LinkJson[],
  routes: RouteJson[],
): boolean {
  if ('route' in want) {
    return routes.some((r) => r.dst === want.route && r.gateway === want.via);
  }
  const link = bare.find((l) => l.ifname === want.link);
  if (!link || (want.mtu !== undefined && link.mtu !== want.mtu)) return false;
  if (want.address === undefined) return true;
  const addresses = links.find((l) => l.ifname === want.link)?.addr_info ?? [];
  return addresses.some((a) => `${a.local}/${a.prefixlen}` === want.address);
}

function describe(namespace: string, want: Expectation): string {
  if ('route' in want) return `${namespace}: no route to ${want.route} via ${want.via}`;
  const { link, address, mtu } = want;
  return `${namespace}: ${link} is not there with ${[address, mtu && `mtu ${mtu}`].filter(Boolean).join(', ')}`;
}
