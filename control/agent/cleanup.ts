// Removes from a node what agents of either proxy have put there.
import { rmSync } from 'node:fs';
import type { AgentOptions } from '../agent-options.ts';
import { removeTable } from '../nftables/nft.ts';
import { removeSteering } from '../node/apply.ts';
import { claimNode } from '../node/claim.ts';
import { readFacts } from '../node/facts.ts';
import { aimOf } from '../node/fit.ts';
import { preflight } from '../node/preflight.ts';
import { siteMemory } from '../node/site.ts';

/**
 * Takes off the node what an agent put there: rules, routes, the device, the arena, the socket, the
 * nftables table. Throws KubetunError, KT_AGENT_ACTIVE among them: an agent that runs would put it
 * all back.
 */
export function cleanUpNode(options: AgentOptions): void {
  preflight(readFacts(options.arena), { ...aimOf(options), narrow: false });
  claimNode(options.node);
  removeSteering(options.tun);
  removeTable();
  for (const path of [options.arena, siteMemory(options), options.admin]) {
    rmSync(path, { force: true });
  }
}
