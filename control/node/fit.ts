// Checks a node for an agent, prepares it, and removes everything again.
import { openTun } from '../../datapath/io/tun.ts';
import type { AgentOptions } from '../agent-options.ts';
import { claimNode } from '../node/claim.ts';
import { type Facts, readFacts } from '../node/facts.ts';
import { type Aim, type Finding, mendingSysctls, preflight, runChecks } from '../node/preflight.ts';
import { tunSysctls } from '../node/steering.ts';
import { writeSysctl } from './ip.ts';

export function aimOf(options: AgentOptions): Aim {
  const { node, tun, hostNetwork, narrow, podRanges } = options;
  return { node, tun, hostNetwork, narrow, podRanges };
}

/** All checks of the node with their findings. Changes nothing. */
export function checkNode(options: AgentOptions): Finding[] {
  return runChecks(readFacts(options.arena), aimOf(options));
}

/**
 * Fixes what it may, refuses other obstacles, and claims the node until the process ends. Throws
 * KubetunError.
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

/** Checks without a result on a node that is otherwise fit. */
export function doubtsAbout(facts: Facts, options: AgentOptions): Finding[] {
  return runChecks(facts, aimOf(options)).filter(({ verdict }) => verdict === 'unknown');
}

/**
 * Creates the device and all else that needs a writable /proc/sys, so that the agent needs none.
 * Throws KubetunError.
 */
export function prepareNode(options: AgentOptions): void {
  requireFit(options);
  openTun(options.tun).close();
  for (const [path, value] of tunSysctls(options.tun)) writeSysctl(path, value);
}
