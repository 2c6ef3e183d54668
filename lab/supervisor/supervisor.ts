// Runs a lab once its network exists: API server, agents, pods.
import type { Logger } from 'pino';
import { connectKube } from '../../control/kube/client.ts';
import { CLOUD, stateDir } from '../../control/places.ts';
import { identify } from '../host/process.ts';
import { namespaceOf } from '../places/names.ts';
import { kubeconfigPath, kubeletSocketPath, PROJECT_ROOT } from '../places/paths.ts';
import { startPodRunner } from '../pods/runner.ts';
import { serveStreams } from '../pods/stream/server.ts';
import { type LabRecord, requireLab, updateRecord } from '../state/record.ts';
import { dnsAddress, internetServer } from '../topology/topology.ts';
import { AgentKeeper } from './agents.ts';
import { startLabApi } from './api.ts';
import { bringDns } from './dns.ts';
import { keepIngress } from './ingress.ts';
import { keepInternet, keepLogWriter } from './keep.ts';
import { keepNetwork } from './network.ts';
import { markNodeReady, registerNode, whenServed } from './nodes.ts';

/** Progress of a starting supervisor. */
export type Stage =
  | { stage: 'api'; port: number }
  | { stage: 'agent'; node: string }
  | { stage: 'failed'; message: string; next: string };

export interface Supervisor {
  /** Ends the API server and leaves agents and pods running. */
  stop(): Promise<void>;
}

/** Starts everything in a lab's record. Throws KubetunError. */
export async function startSupervisor(
  lab: string,
  log: Logger,
  tell: (stage: Stage) => void,
): Promise<Supervisor> {
  const record = requireLab(lab);
  const api = await startLabApi(record, log);
  updateRecord(lab, { supervisor: identify(process.pid), apiPort: api.port });
  log.info({ port: api.port }, 'API server listens');
  tell({ stage: 'api', port: api.port });
  const kube = connectKube(kubeconfigPath(lab));
  await Promise.all(
    record.topology.nodes.map((node) => whenServed(() => registerNode(kube, node))),
  );
  await whenServed(() => bringDns(kube, record));
  const gates = new Map(
    record.topology.nodes.map(({ name }) => [name, Promise.withResolvers<void>()]),
  );
  const agents = new AgentKeeper({
    lab,
    topology: record.topology,
    log,
    onReady: (node) => {
      log.info({ node }, 'node is ready');
      gates.get(node)?.resolve();
      // The cloud has no Node object.
      const marked =
        node === CLOUD ? Promise.resolve() : whenServed(() => markNodeReady(kube, node));
      marked
        .then(() => tell({ stage: 'agent', node }))
        .catch((error) => log.error({ node, why: String(error) }, 'cannot mark the node ready'));
    },
    onFailing: (node, why) => {
      const said = why.replace(/^kubetun: /, '');
      tell({ stage: 'failed', message: `the agent of ${node} does not start: ${said}`, next: '' });
    },
  });
  for (const { name } of [...record.topology.nodes, { name: CLOUD }]) agents.keep(name);
  const leaveLogWriter = keepLogWriter(lab, (error) =>
    log.error({ why: error.message }, 'cannot keep the log writer'),
  );
  const leaveInternet = keepInternet(lab, internetServer(record.topology.ranges), (error) =>
    log.error({ why: error.message }, 'cannot keep the server in the internet'),
  );
  const leaveNetwork = keepNetwork(lab, log);
  const leaveIngress = keepIngress({ kube, record, log });
  const streams = await serveStreams(kubeletSocketPath(lab), stateDir(lab), (error, what) =>
    log.error({ what, why: String(error) }, 'cannot serve a stream of a pod'),
  );
  const forwards = (node: string) => gates.get(node)?.promise ?? Promise.resolve();
  const runner = await startPodRunner({ ...podRunnerOptions(record, kube, log), forwards });
  return {
    async stop() {
      agents.stop();
      leaveInternet();
      leaveIngress();
      leaveNetwork();
      leaveLogWriter();
      await streams.close();
      await runner.stop();
      kube.close();
      await api.close();
    },
  };
}

function podRunnerOptions(
  { lab, topology }: LabRecord,
  kube: ReturnType<typeof connectKube>,
  log: Logger,
) {
  return {
    lab,
    stateDir: stateDir(lab),
    kube,
    nodes: topology.nodes.map((node) => ({
      name: node.name,
      namespace: namespaceOf(lab, node.name),
      address: node.address,
      podCIDR: node.podCIDR,
      mtu: node.mtu,
      attach: node.attach ?? 'veth',
    })),
    dnsAddress: dnsAddress(topology.ranges),
    projectRoot: PROJECT_ROOT,
    log,
  };
}
