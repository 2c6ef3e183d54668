// The endpoints of a Service port, and which of them a node can use. Pure. Source: k8s
// pkg/proxy/topology.go.
import type { EndpointRow, ServicePortRow, SliceRow } from './rows.ts';

/** An endpoint of one Service port. */
export interface PortEndpoint {
  row: EndpointRow;
  /** Port of the endpoint. */
  port: number;
}

export interface Place {
  nodeName: string;
  /** Empty if unknown. Then zone hints never match. */
  zone: string;
}

/**
 * Endpoints for traffic policy Cluster: the ready ones that fit the hints. If none is ready, the
 * terminating ones that still serve.
 */
export function eligibleCluster(all: readonly PortEndpoint[], place: Place): PortEndpoint[] {
  const ready = all.filter(({ row }) => row.ready);
  return ready.length > 0 ? applyHints(ready, place) : all.filter(isFallback);
}

/** Endpoints for traffic policy Local: the same among the node's own, without hints. */
export function eligibleLocal(all: readonly PortEndpoint[], place: Place): PortEndpoint[] {
  const local = all.filter(({ row }) => row.nodeName === place.nodeName);
  const ready = local.filter(({ row }) => row.ready);
  return ready.length > 0 ? ready : local.filter(isFallback);
}

function isFallback({ row }: PortEndpoint): boolean {
  return row.serving && row.terminating;
}

/**
 * Hints count only if every ready endpoint has them and one fits this node. Node hints come before
 * zone hints.
 */
function applyHints(ready: PortEndpoint[], { nodeName, zone }: Place): PortEndpoint[] {
  if (ready.every(({ row }) => row.hintNodes.length > 0)) {
    const near = ready.filter(({ row }) => row.hintNodes.includes(nodeName));
    if (near.length > 0) return near;
  }
  if (ready.every(({ row }) => row.hintZones.length > 0)) {
    const near = ready.filter(({ row }) => row.hintZones.includes(zone));
    if (near.length > 0) return near;
  }
  return ready;
}

/**
 * All endpoints of a Service port: the union of the Service's slices, whose ports are matched by
 * name and protocol. An endpoint in several slices is ready if one of them says so. The result is
 * sorted by address and port.
 */
export function endpointsOf(port: ServicePortRow, slices: Iterable<SliceRow>): PortEndpoint[] {
  const found = new Map<number, PortEndpoint>();
  for (const slice of slices) {
    for (const slicePort of slice.ports) {
      if (slicePort.name !== port.name || slicePort.proto !== port.proto) continue;
      for (const row of slice.endpoints) {
        // Exact: 32 bits of address above 16 bits of port are below 2^53.
        const key = (row.address >>> 0) * 65_536 + slicePort.number;
        const before = found.get(key);
        if (before) before.row = prefer(before.row, row);
        else found.set(key, { row, port: slicePort.number });
      }
    }
  }
  return [...found.entries()].sort((a, b) => a[0] - b[0]).map(([, endpoint]) => endpoint);
}

/** The better of two rows of one endpoint. The content decides ties, not the order. */
function prefer(a: EndpointRow, b: EndpointRow): EndpointRow {
  const difference = rank(b) - rank(a);
  if (difference !== 0) return difference > 0 ? b : a;
  return JSON.stringify(a) <= JSON.stringify(b) ? a : b;
}

function rank(row: EndpointRow): number {
  if (row.ready) return 2;
  return row.serving && row.terminating ? 1 : 0;
}
