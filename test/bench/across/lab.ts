import { clientPod, serviceObject, startLab, type TestLab } from '../../support/lab.ts';
import { CONNECT_SERVER, FLOOD_SERVER, NODE_COMMAND } from '../net/measure.ts';
import { type Attach, CONNECT_PORT, FLOOD_PORT, IPERF_PORT } from '../net/topology.ts';

export const CLIENT = 'client';
/** Services: a ClusterIP and a LoadBalancer. */
export const INSIDE = 'inside';
export const OUTSIDE = 'outside';

/** How nodes translate, and how their pods are attached. */
export interface Nodes {
  proxy: 'kubetun' | 'nftables';
  attach: Attach;
}

/** Brings a lab up with two such nodes. */
export function startBenchLab(name: string, nodes: Nodes): TestLab {
  const ports = [
    { name: 'iperf', port: IPERF_PORT },
    { name: 'flood', port: FLOOD_PORT, protocol: 'UDP' },
    { name: 'connect', port: CONNECT_PORT },
  ];
  const selector = { app: 'server' };
  const objects = [
    clientPod(CLIENT, 'node1'),
    serverPod(),
    serviceObject(INSIDE, { selector, ports }),
    serviceObject(OUTSIDE, { selector, ports, type: 'LoadBalancer' }),
  ];
  return startLab(name, objects, { nodes: 2, ...nodes });
}

/** All servers of the benchmark in one pod on the second node. */
function serverPod(): object {
  const program = (path: string, port: number) => [...NODE_COMMAND, path, '0.0.0.0', String(port)];
  const container = (name: string, command: string[]) => ({
    ...{ name, image: 'bench', command },
    // Lets clients select any congestion control. By default a kernel may reserve some for root.
    securityContext: { capabilities: { add: ['NET_ADMIN'] } },
  });
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'server', labels: { app: 'server' } },
    spec: {
      nodeName: 'node2',
      terminationGracePeriodSeconds: 0,
      containers: [
        container('iperf', ['iperf3', '-s', '-p', String(IPERF_PORT)]),
        container('connect', program(CONNECT_SERVER, CONNECT_PORT)),
        container('flood', program(FLOOD_SERVER, FLOOD_PORT)),
      ],
    },
  };
}
