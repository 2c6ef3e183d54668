// The agent of a node with --proxy nftables: the same tables and compiler, but nftables rules in
// the kernel translate instead of a datapath.
import { openNetworkEvents, openNftGeneration } from '../../datapath/io/netlink.ts';
import type { Agent, AgentOptions } from '../agent-options.ts';
import { MONOTONIC_CLOCK } from '../clock.ts';
import { connectKube } from '../kube/client.ts';
import type { Log } from '../log.ts';
import { requireNft } from '../nftables/nft.ts';
import { RulesetWriter } from '../nftables/writer.ts';
import { readUplink, steeringPart } from '../node/apply.ts';
import { cablesPart } from '../node/cables.ts';
import { requireFit } from '../node/fit.ts';
import { Reconciler } from '../node/reconcile.ts';
import { PODS_RULE, PREF_LOCAL_FIRST } from '../node/rule.ts';
import { apiAddressesOf, siteOf } from '../node/site.ts';
import type { SteeringPlan } from '../node/steering.ts';
import { startControl } from './control.ts';
import { startParts } from './parts.ts';

/** Routes stay unchanged. In a lab a rule leads to the table with the node's pods. */
const TWIN_STEERING: SteeringPlan = {
  ...{ setup: [], rules: [PODS_RULE], localPref: PREF_LOCAL_FIRST },
  sysctls: [['ip_forward', '1']],
};
const NOTHING = { allowed: 0, dropped: 0, audited: 0 };

/**
 * Starts the agent. The nftables table of an earlier agent stays until the tables have synced.
 * Throws KubetunError.
 */
export function startTwin(options: AgentOptions, log: Log): Promise<Agent> {
  requireFit(options);
  requireNft();
  const start = (started: AsyncDisposableStack) => startRules(options, started, log);
  return startParts(start, log, 'stopped; the nftables rules stay');
}

async function startRules(options: AgentOptions, started: AsyncDisposableStack, log: Log) {
  const client = connectKube(options.kubeconfig, options.access);
  started.defer(() => client.close());
  const site = await siteOf(client, options, readUplink(options.uplink));
  const generation = openNftGeneration();
  const writer = new RulesetWriter(generation, log);
  const changes = openNetworkEvents();
  const steering = steeringPart(TWIN_STEERING, options.tun, site.address);
  steering.mend();
  const reconciler = new Reconciler({
    parts: [steering, ...(options.spoofed ? [cablesPart(options.spoofed)] : []), writer],
    events: {
      // Calls both, unlike `||`: changes.heard() empties its socket and must run on every turn.
      heard: () => [changes.heard(), writer.heard()].includes(true),
      close() {
        changes.close();
        generation.close();
      },
    },
    ...{ clock: MONOTONIC_CLOCK, log },
  });
  const apiAddresses = await apiAddressesOf(client.server);
  const control = {
    ...{ options, client, site, apiAddresses, sink: writer, reconciler, checks: {}, log },
    ...{ hitsOf: () => ({ ingress: NOTHING, egress: NOTHING }), status: () => ({}), routes: {} },
  };
  await startControl(control, started);
  log.info({ ...site, server: client.server }, 'nftables follows the cluster');
}
