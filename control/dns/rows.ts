// What the DNS server keeps of an object. Labels and protocols are in lower case.

import type { EndpointSlice, Namespace, Pod, Service } from '../kube/kinds.ts';
import { objectKey } from '../model/parse.ts';
import { addressBytes } from './record.ts';

export interface PortRow {
  name: string;
  protocol: string;
  /** NO_PORT if the object declares no port. SRV then has no record for it. */
  port: number;
}

export const NO_PORT = -1;

export interface ServiceRow {
  key: string;
  namespace: string;
  name: string;
  isHeadless: boolean;
  /** Set for type ExternalName. */
  externalName: string | null;
  /** ClusterIPs of both families. */
  addresses: Uint8Array[];
  ports: PortRow[];
}

export interface EndpointRow {
  addresses: Uint8Array[];
  /** First label of the endpoint's name. Null unless its pod sets a hostname. */
  hostname: string | null;
}

/** The ready endpoints of a slice. */
export interface SliceRow {
  key: string;
  service: string;
  ports: PortRow[];
  endpoints: EndpointRow[];
  /** When its endpoints changed, ms since 1970. Null if the object has no such annotation. */
  triggeredMs: number | null;
}

export interface PodRow {
  namespace: string;
  addresses: Uint8Array[];
}

const HEADLESS = 'None';
const LABEL_SERVICE = 'kubernetes.io/service-name';
const ANNOTATION_TRIGGERED = 'endpoints.kubernetes.io/last-change-trigger-time';

export function readServiceRow({ metadata, spec }: Service): ServiceRow {
  const addresses = spec?.clusterIPs?.length ? spec.clusterIPs : [spec?.clusterIP ?? ''];
  return {
    key: objectKey(metadata),
    namespace: metadata?.namespace ?? 'default',
    name: metadata?.name ?? '',
    isHeadless: addresses[0] === HEADLESS,
    externalName: spec?.type === 'ExternalName' ? (spec.externalName ?? '') : null,
    addresses: readAddresses(addresses),
    ports: readPorts(spec?.ports ?? []),
  };
}

/**
 * Endpoints count as ready unless their conditions deny it: the controller of slices has taken
 * publishNotReadyAddresses into account. Source: CoreDNS plugin/kubernetes/object/endpoint.go.
 */
export function readSliceRow({ metadata, ports, endpoints, addressType }: EndpointSlice): SliceRow {
  const service = metadata?.labels?.[LABEL_SERVICE];
  const ready = (endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false);
  const triggered = Date.parse(metadata?.annotations?.[ANNOTATION_TRIGGERED] ?? '');
  return {
    key: objectKey(metadata),
    service: service === undefined ? '' : objectKey({ ...metadata, name: service }),
    ports: readPorts(
      (ports ?? []).map(({ port, ...rest }) => ({ ...rest, port: port ?? NO_PORT })),
    ),
    endpoints: (addressType === 'FQDN' ? [] : ready).map(({ addresses, hostname }) => ({
      addresses: readAddresses(addresses ?? []),
      hostname: hostname?.toLowerCase() ?? null,
    })),
    triggeredMs: Number.isNaN(triggered) ? null : triggered,
  };
}

export function readNamespaceName({ metadata }: Namespace): string {
  return metadata?.name ?? '';
}

/** An ended pod has lost its address. A pod in its node's network has the node's. */
export function readPodRow({ metadata, spec, status }: Pod): PodRow {
  const hasEnded = status?.phase === 'Succeeded' || status?.phase === 'Failed';
  const addresses = [status?.podIP ?? '', ...(status?.podIPs ?? []).map(({ ip }) => ip ?? '')];
  return {
    namespace: metadata?.namespace ?? 'default',
    addresses: hasEnded || spec?.hostNetwork ? [] : readAddresses([...new Set(addresses)]),
  };
}

function readAddresses(texts: string[]): Uint8Array[] {
  return texts.map(addressBytes).filter((address) => address !== null);
}

function readPorts(ports: { name?: string; protocol?: string; port: number }[]): PortRow[] {
  if (ports.length === 0) return [{ name: '', protocol: '', port: NO_PORT }];
  return ports.map(({ name = '', protocol = 'TCP', port }) => ({
    name: name.toLowerCase(),
    protocol: protocol.toLowerCase(),
    port,
  }));
}
