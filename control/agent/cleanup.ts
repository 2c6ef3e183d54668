// Removes from a node what agents with either proxy have created.
import { rmSync } from 'node:fs';
import type { AgentOptions } from '../agent-options.ts';
import { removeTable } from '../nftables/nft.ts';
import { removeSteering } from '../node/apply.ts';
import { claimNode } from '../node/claim.ts';
import { readFacts } from '../node/facts.ts';
import { portMemory } from '../node/pod-ports.ts';
import { preflight } from '../node/preflight.ts';
import { siteMemory } from '../node/site.ts';

/**
 * Removes rules, routes, the device, the arena, the admin socket and the nftables table of an
 * agent. Throws KubetunError, for example KT_AGENT_ACTIVE: a running agent would create all of it
 * again.
 */
export function cleanUpNode(options: AgentOptions): void {
  preflight(readFacts(options.arena), { ...options, narrow: false });
  claimNode(options.node);
  removeSteering(options.tun);
  removeTable();
  const memories = [siteMemory(options), portMemory(options)];
  for (const path of [options.arena, ...memories, options.admin]) {
    rmSync(path, { force: true });
  }
}
