// Applies, undoes, checks and repairs a plan.
import { existsSync } from 'node:fs';
import { formatRule, parseRule, type RuleJson } from '../../control/node/rule.ts';
import { ipBatch, ipJsonBatch } from '../host/ip.ts';
import { diffSysctls, writeSysctls } from '../host/sysctl.ts';
import { namespacePath } from '../places/names.ts';
import type { Expectation, NetworkStep, Step } from './step.ts';

/**
 * Applies every step in order. If a step fails, the steps before it are undone. Throws KubetunError
 * KT_IP, KT_SYSCTL.
 */
export async function applyPlan(steps: Step[]): Promise<void> {
  const done: Step[] = [];
  try {
    for (const step of steps) {
      // Noted before it is applied, because a step that fails halfway must be undone too.
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

/** Undoes every step, the last one first. Safe to repeat. */
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

/**
 * Runs the lines of a step again. Lines whose object exists fail. They run twice because the
 * missing objects may depend on each other in another order.
 */
async function remake({ namespace, lines, again }: NetworkStep): Promise<void> {
  await ipBatch(namespace, [...lines, ...again, ...lines], { force: true });
}

/** Missing parts of a plan, one line each. Empty if it is complete. */
export async function checkPlan(steps: Step[]): Promise<string[]> {
  return (await Promise.all(steps.map(checkStep))).flat();
}

async function checkStep(step: Step): Promise<string[]> {
  const { kind, namespace } = step;
  if (!existsSync(namespacePath(namespace))) {
    return kind === 'namespace' ? [`network namespace ${namespace} is gone`] : [];
  }
  if (kind === 'namespace') return [];
  if (kind === 'sysctl') return diffSysctls(namespace, step.values);
  return checkNetwork(namespace, step.expect);
}

/**
 * Repairs a plan whose namespaces exist. Existing parts stay. The MTU of a link stays too, because
 * users change it to test paths. Returns the missing parts, one line each.
 */
export async function mendPlan(steps: Step[]): Promise<string[]> {
  const found: string[] = [];
  for (const step of steps.map(withoutMtu)) {
    const missing = await checkStep(step);
    found.push(...missing);
    if (missing.length === 0 || step.kind === 'namespace') continue;
    if (step.kind === 'sysctl') writeSysctls(step.namespace, step.values);
    else await remake(step);
  }
  return found;
}

function withoutMtu(step: Step): Step {
  if (step.kind !== 'network') return step;
  const expect = step.expect.map((want) => ('mtu' in want ? { ...want, mtu: undefined } : want));
  return { ...step, expect };
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
  // `ip -4 addr` omits links without an address.
  const asked = ['addr show', 'link show', 'route show', 'rule show'];
  const answers = (await ipJsonBatch(namespace, asked)) ?? asked.map(() => []);
  const [links, bare, routes, rules] = answers as [LinkJson[], LinkJson[], RouteJson[], RuleJson[]];
  const there = { links, bare, routes, rules: rules.map(parseRule).map(formatRule) };
  return expect.filter((want) => !isMet(want, there)).map((want) => describe(namespace, want));
}

interface There {
  links: LinkJson[];
  bare: LinkJson[];
  routes: RouteJson[];
  rules: string[];
}

function isMet(want: Expectation, { links, bare, routes, rules }: There): boolean {
  if ('route' in want) {
    return routes.some((r) => r.dst === want.route && r.gateway === want.via);
  }
  if ('rule' in want) return rules.includes(want.rule);
  const link = bare.find((l) => l.ifname === want.link);
  if (!link || (want.mtu !== undefined && link.mtu !== want.mtu)) return false;
  if (want.address === undefined) return true;
  const addresses = links.find((l) => l.ifname === want.link)?.addr_info ?? [];
  return addresses.some((a) => `${a.local}/${a.prefixlen}` === want.address);
}

function describe(namespace: string, want: Expectation): string {
  if ('route' in want) {
    return `${namespace}: no route to ${want.route}${want.via ? ` via ${want.via}` : ''}`;
  }
  if ('rule' in want) return `${namespace}: no rule ${want.rule}`;
  const { link, address, mtu } = want;
  const wanted = [address, mtu && `mtu ${mtu}`].filter(Boolean).join(', ');
  return `${namespace}: no link ${link}${wanted && ` with ${wanted}`}`;
}
