// The test's cluster, and every route through it. Each Service has one endpoint, so that no choice
// is random.
import { clientPod, serviceObject } from '../support/lab.ts';

/** Places that send and capture, with their addresses. */
export const PLACES = {
  a: '10.244.1.2',
  b: '10.244.1.3',
  c: '10.244.2.2',
  node1: '172.18.0.11',
  node2: '172.18.0.12',
  internet: '203.0.113.10',
} as const;
export type Place = keyof typeof PLACES;
export const NODES = ['node1', 'node2'] as const;
/** The public addresses of the nodes. */
export const PUBLIC = { node1: '198.51.100.11', node2: '198.51.100.12' } as const;

const ENDPOINT_PORT = 8080;
const SERVICE_PORT = 80;
const EGRESS_PORT = 9000;
/** A port of a Service's address that the Service lacks. */
const WRONG_PORT = 81;

/** The edge's health checks use this port. `places.py` ignores it. */
const HEALTH_PORT = 32_000;

interface TestService {
  name: string;
  clusterIP: string;
  endpoint?: 'b' | 'c';
  nodePort?: number;
  balancer?: string;
  local?: boolean;
}

/**
 * `remote2` and `local2` have the endpoints of `remote` and `local`, so connections to both may
 * collide.
 */
export const SERVICES: TestService[] = [
  { name: 'remote', clusterIP: '10.96.1.1', endpoint: 'c', nodePort: 30_080 },
  { name: 'remote2', clusterIP: '10.96.1.2', endpoint: 'c', nodePort: 30_084 },
  { name: 'local', clusterIP: '10.96.1.3', endpoint: 'b', nodePort: 30_081 },
  { name: 'local2', clusterIP: '10.96.1.4', endpoint: 'b', nodePort: 30_085 },
  {
    name: 'own-balancer',
    clusterIP: '10.96.1.5',
    endpoint: 'b',
    nodePort: 30_082,
    balancer: '198.51.100.200',
    local: true,
  },
  {
    name: 'balancer',
    clusterIP: '10.96.1.6',
    endpoint: 'c',
    nodePort: 30_083,
    balancer: '198.51.100.201',
  },
  { name: 'empty', clusterIP: '10.96.1.7' },
];

interface Target {
  address: string;
  port: number;
}

/** A route through the cluster: sender, target, and destination. */
export interface Route {
  name: string;
  client: Place;
  target: Target;
  /** Another target with the same endpoint, or one that refuses. */
  other: Target;
  server: Place;
  /** Port at the server. */
  port: number;
}

function service(name: string): Target {
  const found = SERVICES.find((s) => s.name === name)!;
  return { address: found.clusterIP, port: SERVICE_PORT };
}

const nodePort = (address: string, port: number): Target => ({ address, port });
const b: [Place, number] = ['b', ENDPOINT_PORT];
const c: [Place, number] = ['c', ENDPOINT_PORT];
const refused: Target = { address: '10.96.1.1', port: WRONG_PORT };

export const ROUTES: Route[] = [
  route('pod-service-remote', 'a', service('remote'), service('remote2'), c),
  route('pod-service-local', 'a', service('local'), service('local2'), b),
  route('pod-pod-remote', 'a', { address: PLACES.c, port: 8080 }, service('remote'), c),
  route('pod-pod-local', 'a', { address: PLACES.b, port: 8080 }, service('local'), b),
  route('node-service-remote', 'node1', service('remote'), service('remote2'), c),
  route('node-service-local', 'node1', service('local'), service('local2'), b),
  route('node-pod-remote', 'node1', { address: PLACES.c, port: 8080 }, service('remote'), c),
  route('pod-nodeport', 'a', nodePort(PLACES.node1, 30_080), nodePort(PLACES.node1, 30_084), c),
  route('pod-nodeport-far', 'a', nodePort(PLACES.node2, 30_081), nodePort(PLACES.node2, 30_085), b),
  route('node-nodeport', 'node1', nodePort(PLACES.node2, 30_080), refused, c),
  route(
    'node-own-nodeport',
    'node1',
    nodePort(PLACES.node1, 30_080),
    nodePort(PLACES.node1, 30_084),
    c,
  ),
  route(
    'node-own-nodeport-local',
    'node1',
    nodePort(PLACES.node1, 30_081),
    nodePort(PLACES.node1, 30_085),
    b,
  ),
  route(
    'internet-nodeport',
    'internet',
    nodePort(PUBLIC.node1, 30_080),
    nodePort(PUBLIC.node1, 30_084),
    c,
  ),
  route(
    'internet-nodeport-local',
    'internet',
    nodePort(PUBLIC.node1, 30_081),
    nodePort(PUBLIC.node1, 30_085),
    b,
  ),
  route(
    'internet-balancer',
    'internet',
    { address: '198.51.100.201', port: SERVICE_PORT },
    nodePort(PUBLIC.node1, 30_080),
    c,
  ),
  route(
    'internet-balancer-local',
    'internet',
    { address: '198.51.100.200', port: SERVICE_PORT },
    { address: '198.51.100.200', port: WRONG_PORT },
    b,
  ),
  route('egress', 'a', { address: PLACES.internet, port: EGRESS_PORT }, refused, [
    'internet',
    EGRESS_PORT,
  ]),
  route('node-egress', 'node1', { address: PLACES.internet, port: EGRESS_PORT }, refused, [
    'internet',
    EGRESS_PORT,
  ]),
  route('hairpin', 'b', service('local'), service('local2'), b),
  route('refused', 'a', refused, service('empty'), c),
];

function route(
  name: string,
  client: Place,
  target: Target,
  other: Target,
  [server, port]: [Place, number],
): Route {
  return { name, client, target, other, server, port };
}

/** Pods, Services and their slices as manifests. Pods get the first addresses of their nodes. */
export function objects(): object[] {
  return [
    clientPod('pod-1', 'node1'),
    clientPod('pod-2', 'node1'),
    clientPod('pod-3', 'node2'),
    ...SERVICES.map(serviceOf),
    ...SERVICES.filter(({ endpoint }) => endpoint).map(sliceOf),
  ];
}

function serviceOf({ name, clusterIP, nodePort, balancer, local }: TestService): object {
  return serviceObject(name, {
    clusterIP,
    type: balancer ? 'LoadBalancer' : nodePort ? 'NodePort' : 'ClusterIP',
    ...(balancer ? { loadBalancerIP: balancer } : {}),
    ...(local ? { externalTrafficPolicy: 'Local', healthCheckNodePort: HEALTH_PORT } : {}),
    ports: ['TCP', 'UDP'].map((protocol) => ({
      ...{ name: protocol.toLowerCase(), protocol, port: SERVICE_PORT, targetPort: ENDPOINT_PORT },
      ...(nodePort ? { nodePort } : {}),
    })),
  });
}

function sliceOf({ name, endpoint }: TestService): object {
  const nodeName = endpoint === 'c' ? 'node2' : 'node1';
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: ['TCP', 'UDP'].map((protocol) => ({
      ...{ name: protocol.toLowerCase(), protocol, port: ENDPOINT_PORT },
    })),
    endpoints: [{ addresses: [PLACES[endpoint!]], nodeName }],
  };
}
