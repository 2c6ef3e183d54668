// The API server of a lab: in a thread of the supervisor, listening in two network namespaces.
import { join } from 'node:path';
import { ensureCredentials, writeKubeconfig } from '../../control/apiserver/credentials.ts';
import { spawnApiServer } from '../../control/apiserver/spawn.ts';
import { stateDir } from '../../control/cli/options.ts';
import { NODE_PORT_MAX, NODE_PORT_MIN } from '../../control/compile/node-entry.ts';
import { listenInNamespace } from '../../datapath/io/netns.ts';
import { namespaceOf, namespacePath } from '../state/names.ts';
import { agentKubeconfigPath, kubeconfigPath, kubeletSocketPath } from '../state/paths.ts';
import type { LabRecord } from '../state/record.ts';
import { API_PORT, apiAddress, hostOf } from '../topology/topology.ts';

export interface LabApi {
  /** On loopback of the root namespace. */
  port: number;
  close(): Promise<void>;
}

/** Starts the API server on loopback and on its fabric address, and writes the kubeconfigs for both. */
export async function startLabApi(
  { lab, topology, apiPort, ephemeral }: LabRecord,
  onDeath: (error: Error) => void,
): Promise<LabApi> {
  const { ranges } = topology;
  const address = apiAddress(ranges);
  const { ca, cert, key, token } = ensureCredentials(join(stateDir(lab), 'pki'), [
    ...['127.0.0.1', 'localhost', address, hostOf(ranges.services, 1)],
    ...['kubernetes', 'kubernetes.default', 'kubernetes.default.svc'],
    'kubernetes.default.svc.cluster.local',
  ]);
  const fabric = namespacePath(namespaceOf(lab, 'fabric'));
  const server = await spawnApiServer(
    {
      journal: ephemeral ? null : join(stateDir(lab), 'api/journal'),
      // An earlier life of this lab had a port, and so a journal.
      journalExpected: apiPort !== 0,
      listen: [
        // The port of an earlier life: clients in the root namespace have it in their kubeconfig.
        { host: '127.0.0.1', port: apiPort, orAny: true },
        { fd: listenInNamespace(fabric, address, API_PORT) },
      ],
      tls: { key, cert },
      ca,
      token,
      kubelet: kubeletSocketPath(lab),
      serviceRange: ranges.services,
      publicRange: ranges.public,
      nodePortMin: NODE_PORT_MIN,
      nodePortMax: NODE_PORT_MAX,
      apiAddress: { address, port: API_PORT },
    },
    onDeath,
  );
  const port = server.ports[0]!;
  const write = (path: string, host: string) =>
    writeKubeconfig(path, {
      server: `https://${host}`,
      ca,
      token,
      name: `kubetun-${lab}`,
      namespace: 'default',
    });
  write(kubeconfigPath(lab), `127.0.0.1:${port}`);
  write(agentKubeconfigPath(lab), `${address}:${API_PORT}`);
  return { port, close: () => server.close() };
}
