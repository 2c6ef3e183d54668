// The DNS server of a lab as objects: a Service, two pods over all nodes, an account that reads.
import type { Reader } from '../../control/apiserver/http/account.ts';
import type { KubeClient } from '../../control/kube/client.ts';
import { DNS_IMAGE } from '../pods/container/images.ts';
import type { LabRecord } from '../state/record.ts';
import { type DnsSettings, dnsAddress, internetServer, type Ranges } from '../topology/topology.ts';
import {
  accountFiles,
  accountToken,
  accountVolume,
  bringObjects,
  type Named,
  type OwnObject,
} from './objects.ts';

const NAMESPACE = 'kube-system';
const NAME = 'kube-dns';
export const DNS_DEPLOYMENT = { namespace: NAMESPACE, name: NAME };
const SECRET = 'kube-dns-token';
const REPLICAS = 2;
const RESOURCES = ['services', 'endpointslices', 'namespaces', 'pods'];
const LABELS = { 'k8s-app': NAME };
/** The pods are placed while nodes start and are not ready, so that they spread over all nodes. */
const TOLERATIONS = [
  { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoSchedule' },
];
const PORT_HEALTH = 8080;
const PORT_READY = 8181;
const PORT_METRICS = 9153;

/** Accounts of the API server for the DNS server of a lab; none where it has no DNS. */
export function dnsReaders({ lab, topology }: LabRecord): Reader[] {
  if (topology.dns === false) return [];
  const user = `system:serviceaccount:${NAMESPACE}:${NAME}`;
  return [{ user, token: accountToken(lab, NAME), resources: RESOURCES }];
}

/** Creates the objects of the DNS server, or brings those of an earlier supervisor up to date. */
export async function bringDns(kube: KubeClient, record: LabRecord): Promise<void> {
  const { lab, topology } = record;
  if (topology.dns === false) return;
  const files = accountFiles(lab, DNS_DEPLOYMENT);
  await bringObjects(kube, dnsObjects(topology.dns ?? {}, topology.ranges, files));
}

/** @param secret files of the account. */
export function dnsObjects(
  { upstream, pods }: DnsSettings,
  ranges: Ranges,
  secret: Record<string, string>,
): OwnObject[] {
  const named = (name: string) => ({ metadata: { name, namespace: NAMESPACE, labels: LABELS } });
  const args = [`--upstream=${upstream ?? internetServer(ranges)}`];
  if (pods !== undefined) args.push(`--pods=${pods}`);
  const stringData = secret;
  return [
    ['ServiceAccount', named(NAME)],
    ['Secret', { ...named(SECRET), stringData } as Named],
    ['Service', { ...named(NAME), spec: serviceSpec(dnsAddress(ranges)) } as Named],
    ['Deployment', { ...named(NAME), spec: deploymentSpec(args) } as Named],
  ];
}

function serviceSpec(clusterIP: string): object {
  const port = (name: string, number: number, protocol: string) => ({
    ...{ name, port: number, protocol, targetPort: number },
  });
  const ports = [port('dns', 53, 'UDP'), port('dns-tcp', 53, 'TCP')];
  return { clusterIP, selector: LABELS, ports: [...ports, port('metrics', PORT_METRICS, 'TCP')] };
}

function deploymentSpec(args: string[]): object {
  const account = accountVolume(SECRET);
  const probe = (path: string, port: number) => ({ httpGet: { path, port } });
  const port = (name: string, containerPort: number, protocol: string) => ({
    ...{ name, containerPort, protocol },
  });
  const container = {
    name: 'dns',
    image: DNS_IMAGE,
    args,
    ports: [
      port('dns', 53, 'UDP'),
      port('dns-tcp', 53, 'TCP'),
      port('metrics', PORT_METRICS, 'TCP'),
    ],
    volumeMounts: [account.mount],
    readinessProbe: { ...probe('/ready', PORT_READY), periodSeconds: 1, timeoutSeconds: 5 },
    livenessProbe: { ...probe('/health', PORT_HEALTH), timeoutSeconds: 5, failureThreshold: 5 },
  };
  return {
    replicas: REPLICAS,
    selector: { matchLabels: LABELS },
    // One of the two pods always answers during a rollout.
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1, maxSurge: 1 } },
    template: {
      metadata: { labels: LABELS },
      spec: {
        // The pods use the resolver of their node: with the cluster's they would ask themselves.
        dnsPolicy: 'Default',
        serviceAccountName: NAME,
        containers: [container],
        volumes: [account.volume],
        tolerations: TOLERATIONS,
      },
    },
  };
}
