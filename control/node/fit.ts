// Before an agent runs on a node, and after: is the node fit, what makes it fit, and taking
// everything off again.
import { openTun } from '../../datapath/io/tun.ts';
import type { AgentOptions } from '../agent-options.ts';
import { writeSysctl } from '../node/apply.ts';
import { claimNode } from '../node/claim.ts';
import { type Facts, readFacts } from '../node/facts.ts';
import { type Aim, type Finding, judge, mendingSysctls, preflight } from '../node/preflight.ts';
import { tunSysctls } from '../node/steering.ts';

export function aimOf(options: AgentOptions): Aim {
  const { node, tun, hostNetwork, narrow, podRanges } = options;
  return { node, tun, hostNetwork, narrow, podRanges };
}

/** Every check of the node, with what it found. Changes nothing. */
export function checkNode(options: AgentOptions): Finding[] {
  return judge(readFacts(options.arena), aimOf(options));
}

/**
 * Mends what may be mended, refuses what then still stands in the way, and claims the node until
 * the process ends. Throws KubetunError.
 */
export function requireFit(options: AgentOptions): Facts {
  const aim = aimOf(options);
  let facts = readFacts(options.arena);
  if (options.setSysctls) {
    for (const [path, value] of mendingSysctls(facts, aim)) writeSysctl(path, value);
    facts = readFacts(options.arena);
  }
  preflight(facts, aim);
  claimNode(options.node);
  return facts;
}

/** What could not be told of a node that is fit as far as one sees. */
export function doubtsAbout(facts: Facts, options: AgentOptions): Finding[] {
  return judge(facts, aimOf(options)).filter(({ verdict }) => verdict === 'unknown');
}

/**
 * Makes the device and what else needs a writable /proc/sys, so that the agent itself needs none.
 * Throws KubetunError.
 */
export function prepareNode(options: AgentOptions): void {
  requireFit(options);
  openTun(options.tun).close();
  for (const [path, value] of tunSysctls(options.tun)) writeSysctl(path, value);
}
