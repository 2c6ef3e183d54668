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
import { describePolicies } from '../policy/describe.ts';
import { describeServices, refusedOf } from '../sync/describe.ts';
import { startControl } from './control.ts';

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
export async function startTwin(options: AgentOptions, log: Log): Promise<Agent> {
  requireFit(options);
  requireNft();
  const client = connectKube(options.kubeconfig, options.access);
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
  const control = await startControl({
    ...{ options, client, site, reconciler, log },
    apiAddresses: await apiAddressesOf(client.server),
    sink: writer,
    checks: {},
    routes: (tables, publisher, monitor) => ({
      '/status': () => ({
        node: options.node,
        proxy: options.proxy,
        generation: writer.generation,
        acknowledged: writer.acknowledged(),
        synced: publisher.synced && publisher.published,
        pid: process.pid,
        skipped: publisher.skipped(),
        ...monitor.report(),
      }),
      '/steering': () => reconciler.status(),
      '/services': () => describeServices(publisher),
      '/policies': () =>
        describePolicies(
          tables.policy,
          () => ({ ingress: NOTHING, egress: NOTHING }),
          refusedOf(publisher, 'NetworkPolicy'),
        ),
    }),
  });
  log.info({ ...site, server: client.server }, 'nftables follows the cluster');
  return {
    async stop() {
      control.stop();
      log.info({}, 'stopped; the nftables rules stay');
    },
  };
}
