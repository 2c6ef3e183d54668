// Finds the addresses and ports of a name by its labels. Source: CoreDNS
// plugin/kubernetes/{parse,kubernetes}.go and the Kubernetes DNS specification 1.1.
import type { Name } from './name.ts';
import { addressBytes } from './record.ts';
import type { EndpointRow, PortRow, ServiceRow } from './rows.ts';
import type { Zone } from './zone.ts';

/** An address and port of a name. SRV records point to `owner`. */
export interface Target {
  owner: Name;
  address: Uint8Array;
  /** NO_PORT if there is none. */
  port: number;
}

export type Found =
  /** Neither the name nor anything below it exists. */
  | { kind: 'nothing' }
  /** The name or a name below it exists. `targets` are for A, AAAA and SRV. */
  | { kind: 'name'; targets: Target[] }
  | { kind: 'alias'; target: string }
  | { kind: 'version' };

const NOTHING: Found = { kind: 'nothing' };
const EMPTY: Found = { kind: 'name', targets: [] };

/** @param labels the name's, in lower case, without those of the zone. */
export function findName(zone: Zone, labels: string[]): Found {
  const [tree, namespace, name, ...below] = labels.toReversed();
  if (tree === undefined) return EMPTY;
  if (tree === 'dns-version') return namespace === undefined ? { kind: 'version' } : NOTHING;
  if (tree === 'dns') return findNameServer(zone, labels);
  if (tree !== 'svc' && tree !== 'pod') return NOTHING;
  if (namespace === undefined) return EMPTY;
  if (!zone.hasNamespace(namespace)) return NOTHING;
  if (tree === 'pod') return findPod(zone, namespace, name, below);
  if (name === undefined) return EMPTY;
  const service = zone.service(namespace, name);
  return service ? findBelow(zone, service, below) : NOTHING;
}

/** `ns.dns`, the name in SOA records, has the addresses of the name servers. */
function findNameServer(zone: Zone, labels: string[]): Found {
  if (labels.length === 1) return EMPTY;
  if (labels.length > 2 || labels[0] !== 'ns') return NOTHING;
  return { kind: 'name', targets: nameServers(zone) };
}

/**
 * Name servers: the Service with this server as an endpoint, or else `ns.dns` with its addresses.
 */
export function nameServers(zone: Zone): Target[] {
  const services = zone.ownAddresses
    .flatMap((address) => zone.slicesWith(address))
    .map(({ service }) => service.split('/') as [string, string])
    .map(([namespace, name]) => zone.service(namespace, name))
    .filter((service) => service !== undefined && service.addresses.length > 0);
  const [service] = services;
  const owner = service ? nameOfService(zone, service) : zone.nameOf('ns', 'dns');
  const addresses = service?.addresses ?? zone.ownAddresses;
  return addresses.map((address) => ({ owner, address, port: 53 }));
}

export function nameOfService(zone: Zone, { namespace, name }: ServiceRow): Name {
  return zone.nameOf(name, namespace, 'svc');
}

/** @param below labels before the Service's, the last one first. */
function findBelow(zone: Zone, service: ServiceRow, below: string[]): Found {
  const { externalName } = service;
  if (externalName !== null) {
    // An external name in the form of an address cannot be an alias.
    const isAlias = below.length === 0 && addressBytes(externalName) === null;
    return isAlias ? { kind: 'alias', target: externalName } : NOTHING;
  }
  const [first, port, ...more] = below;
  if (more.length > 0) return NOTHING;
  const protocol = port === undefined ? undefined : bare(first!);
  const wanted = (row: PortRow) =>
    port === undefined || (row.name === bare(port) && row.protocol === protocol);
  const endpoint = port === undefined ? first : undefined;
  const isByEndpoint = service.isHeadless || endpoint !== undefined;
  const targets = isByEndpoint
    ? endpointTargets(zone, service, endpoint, wanted)
    : clusterTargets(zone, service, wanted);
  if (targets.length > 0) return { kind: 'name', targets };
  return endpoint !== undefined && hasPortsBelow(zone, service, endpoint) ? EMPTY : NOTHING;
}

/**
 * `_tcp.web.default.svc` has no records. It exists because names of ports are below it (RFC 8020).
 */
function hasPortsBelow(zone: Zone, service: ServiceRow, label: string): boolean {
  if (!label.startsWith('_')) return false;
  const slices = zone.slicesOf(service).filter(({ endpoints }) => endpoints.length > 0);
  const ports = service.isHeadless ? slices.flatMap((slice) => slice.ports) : service.ports;
  return ports.some(({ name, protocol }) => name !== '' && protocol === bare(label));
}

function clusterTargets(
  zone: Zone,
  service: ServiceRow,
  wanted: (row: PortRow) => boolean,
): Target[] {
  const owner = nameOfService(zone, service);
  return service.ports
    .filter(wanted)
    .flatMap(({ port }) => service.addresses.map((address) => ({ owner, address, port })));
}

function endpointTargets(
  zone: Zone,
  service: ServiceRow,
  label: string | undefined,
  wanted: (row: PortRow) => boolean,
): Target[] {
  const targets: Target[] = [];
  for (const { ports, endpoints } of zone.slicesOf(service)) {
    const numbers = ports.filter(wanted).map(({ port }) => port);
    for (const { address, hostname } of endpoints.flatMap(addressesOf)) {
      if (label !== undefined && label !== hostname) continue;
      const owner = zone.nameOf(hostname, service.name, service.namespace, 'svc');
      for (const port of numbers) targets.push({ owner, address, port });
    }
  }
  return targets;
}

export function addressesOf(endpoint: EndpointRow): { address: Uint8Array; hostname: string }[] {
  return endpoint.addresses.map((address) => ({
    address,
    hostname: endpoint.hostname ?? dashed(address),
  }));
}

/** The name of an endpoint whose pod has no hostname: `10-244-1-2`, `fd00--1`. */
function dashed(address: Uint8Array): string {
  if (address.length === 4) return address.join('-');
  const groups = Array.from({ length: 8 }, (_, i) =>
    (address[2 * i]! * 256 + address[2 * i + 1]!).toString(16),
  );
  // The longest run of zeros is left out, as Go writes addresses.
  const text = groups.join(':');
  const runs = [...text.matchAll(/(?<![^:])0(?::0)+(?![^:])/g)];
  const longest = runs.sort((a, b) => b[0].length - a[0].length)[0];
  if (!longest) return text.replaceAll(':', '-');
  const [head, tail] = [
    text.slice(0, longest.index),
    text.slice(longest.index + longest[0].length),
  ];
  return `${head.replace(/:$/, '')}::${tail.replace(/^:/, '')}`.replaceAll(':', '-');
}

function findPod(zone: Zone, namespace: string, name: string | undefined, below: string[]): Found {
  if (zone.pods === 'disabled') return NOTHING;
  if (name === undefined) return EMPTY;
  const isIPv4 = name.split('-').length === 4 && !name.includes('--');
  const address = addressBytes(name.replaceAll('-', isIPv4 ? '.' : ':'));
  if (address === null || below.length > 0) return NOTHING;
  if (zone.pods === 'verified' && !zone.hasPod(namespace, address)) return NOTHING;
  const owner = zone.nameOf(name, namespace, 'pod');
  return { kind: 'name', targets: [{ owner, address, port: -1 }] };
}

function bare(label: string): string {
  return label.startsWith('_') ? label.slice(1) : label;
}
