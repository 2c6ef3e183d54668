// The agent of a node whose kernel translates: the tables and the compiler of every agent, and rules of nftables in the
// datapath's place.
import { connectKube } from '../kube/client.ts';
import { requireNft } from '../nftables/nft.ts';
import { RulesetWriter } from '../nftables/writer.ts';
import { readUplink } from '../node/apply.ts';
import { describePolicies } from '../policy/describe.ts';
import { startControl } from './control.ts';
import { describeServices } from './describe.ts';
import { requireFit } from './fit.ts';
import type { Agent, AgentOptions } from './options.ts';
import type { Log } from './publisher.ts';
import { siteOf } from './site.ts';

const NOTHING = { allowed: 0, dropped: 0, audited: 0 };

/** Starts it; what an agent before it put in force stays until the tables have synced. Throws KubetunError. */
export async function startTwin(options: AgentOptions, log: Log): Promise<Agent> {
  requireFit(options);
  requireNft();
  const client = connectKube(options.kubeconfig, options.access);
  const site = await siteOf(client, options, readUplink(options.uplink));
  const writer = new RulesetWriter(log);
  const control = await startControl({
    ...{ options, client, site, log },
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
        ...monitor.report(),
      }),
      '/services': () => describeServices(publisher.compiler),
      '/policies': () =>
        describePolicies(tables.policy, () => ({ ingress: NOTHING, egress: NOTHING })),
    }),
  });
  log.info({ ...site, server: client.server }, 'nftables follows the cluster');
  return {
    async stop() {
      control.stop();
      log.info({}, 'stopped; the rules stay in force');
    },
  };
}
