// Checks a node for an agent, and prepares it.
import { openTun } from '../../datapath/io/tun.ts';
import type { AgentOptions } from '../agent-options.ts';
import { claimNode } from './claim.ts';
import { type Facts, readFacts } from './facts.ts';
import { writeSysctl } from './ip.ts';
import { type Finding, mendingSysctls, preflight, runChecks } from './preflight.ts';
import { tunSysctls } from './steering.ts';

/** All checks of the node with their findings. Changes nothing. */
export function checkNode(options: AgentOptions): Finding[] {
  return runChecks(readFacts(options.arena), options);
}

/**
 * Fixes what it may, refuses other obstacles, and claims the node until the process ends. Throws
 * KubetunError.
 */
export function requireFit(options: AgentOptions): Facts {
  let facts = readFacts(options.arena);
  if (options.setSysctls) {
    for (const [path, value] of mendingSysctls(facts, options)) writeSysctl(path, value);
    facts = readFacts(options.arena);
  }
  preflight(facts, options);
  claimNode(options.node);
  return facts;
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
