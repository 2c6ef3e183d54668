import { parseRange } from '../../datapath/wire/address.ts';
import { pairsOfRanges } from '../../datapath/wire/ranges.ts';
import type { Service } from '../kube/kinds.ts';
import { objectKey, parseAddresses, parseProtocol } from './parse.ts';
import type { ServicePortRow, ServiceRow } from './rows.ts';

/** Label of a Service that another proxy serves. */
const LABEL_OTHER_PROXY = 'service.kubernetes.io/service-proxy-name';
const LABEL_HEADLESS = 'service.kubernetes.io/headless';
const AFFINITY_S_DEFAULT = 10_800;
/** Matches only the limited broadcast address, which is never a valid source. */
const RANGE_NOBODY = [-1, -1];

/**
 * The row of a Service. kubetun captures ClusterIPs, externalIPs, load balancer addresses whose
 * ipMode is nil or VIP, and NodePorts. It captures nothing of a headless or ExternalName Service,
 * nor of one with the label of another proxy. Source: k8s pkg/proxy/util ShouldSkipService,
 * pkg/proxy/serviceport.go.
 */
export function readService(object: Service): ServiceRow {
  const spec = object.spec ?? {};
  const captured = isCaptured(object);
  const clientIp = spec.sessionAffinity === 'ClientIP';
  const ingress = object.status?.loadBalancer?.ingress ?? [];
  const vips = ingress.filter((i) => (i.ipMode ?? 'VIP') === 'VIP');
  return {
    key: objectKey(object.metadata),
    createdMs: Date.parse(object.metadata?.creationTimestamp ?? '') || 0,
    clusterAddresses: parseAddresses([spec.clusterIP, ...(spec.clusterIPs ?? [])]),
    externalAddresses: parseAddresses(spec.externalIPs ?? []),
    loadBalancerAddresses: parseAddresses(vips.map((i) => i.ip)),
    ports: captured ? readPorts(object) : [],
    internalLocal: spec.internalTrafficPolicy === 'Local',
    externalLocal: spec.externalTrafficPolicy === 'Local',
    affinityS: clientIp
      ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? AFFINITY_S_DEFAULT)
      : 0,
    healthPort: captured ? readHealthPort(object) : 0,
    sourceRanges: readSourceRanges(spec.loadBalancerSourceRanges ?? []),
  };
}

function readHealthPort({ spec }: Service): number {
  const asks = spec?.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local';
  return asks ? (spec.healthCheckNodePort ?? 0) : 0;
}

function isCaptured(object: Service): boolean {
  const labels = object.metadata?.labels ?? {};
  const clusterIP = object.spec?.clusterIP ?? '';
  if (object.spec?.type === 'ExternalName' || clusterIP === '' || clusterIP === 'None')
    return false;
  return !(LABEL_OTHER_PROXY in labels) && !(LABEL_HEADLESS in labels);
}

function readPorts(object: Service): ServicePortRow[] {
  const type = object.spec?.type;
  const nodePorts = type === 'NodePort' || type === 'LoadBalancer';
  const rows: ServicePortRow[] = [];
  for (const port of object.spec?.ports ?? []) {
    const proto = parseProtocol(port.protocol);
    if (proto === null) continue;
    const nodePort = nodePorts ? (port.nodePort ?? 0) : 0;
    rows.push({ name: port.name ?? '', number: port.port, proto, nodePort });
  }
  return rows;
}

/**
 * loadBalancerSourceRanges as pairs. Entries can have spaces. IPv6 entries do not count. If no
 * other entry is readable, the Service accepts no source: a typing mistake must not open it.
 */
function readSourceRanges(texts: string[]): Int32Array {
  const mine = texts.map((text) => text.trim()).filter((text) => !text.includes(':'));
  const ranges = mine.map(parseRange).filter((range) => range !== null);
  if (mine.length > 0 && ranges.length === 0) return Int32Array.from(RANGE_NOBODY);
  return pairsOfRanges(ranges);
}
