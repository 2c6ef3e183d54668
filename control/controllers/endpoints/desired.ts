// The wanted endpoints of a Service: pkg/controller/endpointslice and
// staging/src/k8s.io/endpointslice.
import { isReady, type KubeObject } from '../../kube/object.ts';
import { isOver } from '../pods.ts';

export interface SlicePort {
  name: string;
  port: number;
  protocol: string;
  appProtocol?: string;
}

export interface Endpoint {
  addresses: string[];
  conditions: { ready: boolean; serving: boolean; terminating: boolean };
  hostname?: string;
  nodeName?: string;
  zone?: string;
  targetRef: { kind: 'Pod'; namespace: string; name: string; uid: string };
  hints?: { forZones?: { name: string }[]; forNodes?: { name: string }[] };
}

/** An address of an Endpoints object. */
export interface Address {
  ip: string;
  hostname?: string;
  nodeName?: string;
  targetRef?: object;
}

/** Endpoints with equal ports. Named ports that differ between pods give several groups. */
export interface EndpointGroup {
  ports: SlicePort[];
  /** By the pod's name. */
  endpoints: Map<string, Endpoint>;
}

/** The key of a group. */
export function portsKey(ports: SlicePort[] | undefined): string {
  return JSON.stringify(
    (ports ?? []).map((p) => [p.name ?? '', p.port, p.protocol, p.appProtocol ?? '']).sort(),
  );
}

/** True if a Service gets its endpoints from its selector. */
export function hasSelector(service: KubeObject): boolean {
  const { selector, type } = service.spec;
  return type !== 'ExternalName' && selector !== undefined && Object.keys(selector).length > 0;
}

/** Groups by {@link portsKey}; `zoneOf` returns the zone of a node. */
export function desiredGroups(
  service: KubeObject,
  pods: Iterable<KubeObject>,
  zoneOf: (node: string) => string | undefined,
): Map<string, EndpointGroup> {
  const groups = new Map<string, EndpointGroup>();
  for (const pod of pods) {
    const endpoint = endpointOf(service, pod, zoneOf);
    if (!endpoint) continue;
    const ports = portsOf(service, pod);
    const key = portsKey(ports);
    const group = groups.get(key) ?? { ports, endpoints: new Map() };
    group.endpoints.set(pod.metadata.name, endpoint);
    groups.set(key, group);
  }
  return groups;
}

function endpointOf(
  service: KubeObject,
  pod: KubeObject,
  zoneOf: (node: string) => string | undefined,
): Endpoint | null {
  const { spec, status, metadata } = pod;
  const address: string | undefined = status?.podIP;
  if (!address || isOver(pod)) return null;
  const terminating = metadata.deletionTimestamp !== undefined;
  const serving = isReady(pod);
  const named = spec.hostname && spec.subdomain === service.metadata.name;
  const zone = spec.nodeName ? zoneOf(spec.nodeName) : undefined;
  const ready = service.spec.publishNotReadyAddresses === true || (serving && !terminating);
  return {
    addresses: [address],
    conditions: { ready, serving, terminating },
    ...(named && { hostname: spec.hostname }),
    ...(spec.nodeName && { nodeName: spec.nodeName }),
    ...(zone && { zone }),
    targetRef: {
      kind: 'Pod',
      namespace: metadata.namespace!,
      name: metadata.name,
      uid: metadata.uid!,
    },
    ...hintsOf(service.spec.trafficDistribution, ready, zone, spec.nodeName),
  };
}

/** KEP-4444, KEP-3015: hints assign an endpoint to clients of its zone or its node. */
function hintsOf(
  distribution: string | undefined,
  ready: boolean,
  zone: string | undefined,
  node: string | undefined,
): Pick<Endpoint, 'hints'> {
  if (!distribution || !ready) return {};
  const forNodes = distribution === 'PreferSameNode' && node ? [{ name: node }] : null;
  if (!zone && !forNodes) return {};
  return { hints: { ...(zone && { forZones: [{ name: zone }] }), ...(forNodes && { forNodes }) } };
}

/** The ports of a Service at a pod, without those whose name the pod lacks. */
function portsOf(service: KubeObject, pod: KubeObject): SlicePort[] {
  const ports: SlicePort[] = [];
  for (const { name, targetPort, protocol, appProtocol } of service.spec.ports ?? []) {
    const port = typeof targetPort === 'number' ? targetPort : namedPort(pod, targetPort, protocol);
    if (port === null) continue;
    ports.push({ name: name ?? '', port, protocol, ...(appProtocol && { appProtocol }) });
  }
  return ports;
}

/**
 * Source: pkg/api/v1/pod (FindPort). Sidecars among the init containers serve as long as the pod.
 */
function namedPort({ spec }: KubeObject, name: string, protocol: string): number | null {
  const sideCars = (spec.initContainers ?? []).filter(
    ({ restartPolicy }: { restartPolicy?: string }) => restartPolicy === 'Always',
  );
  const containers: { ports?: { name?: string; protocol?: string; containerPort: number }[] }[] = [
    ...spec.containers,
    ...sideCars,
  ];
  for (const { ports } of containers) {
    const found = ports?.find((p) => p.name === name && (p.protocol ?? 'TCP') === protocol);
    if (found) return found.containerPort;
  }
  return null;
}
