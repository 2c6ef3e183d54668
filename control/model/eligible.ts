// Which endpoints of a Service port may be chosen on a node. Pure. Source: k8s
// pkg/proxy/topology.go.
import type { EndpointRow } from './rows.ts';

/** An endpoint as one Service port reaches it. */
export interface PortEndpoint {
  row: EndpointRow;
  /** Port of the endpoint. */
  port: number;
}

export interface Place {
  nodeName: string;
  /** Empty if unknown: zone hints then never match. */
  zone: string;
}

/**
 * Endpoints for traffic policy Cluster: the ready ones that the hints leave; if no endpoint is
 * ready, those that are terminating but still serving.
 */
export function eligibleCluster(all: readonly PortEndpoint[], place: Place): PortEndpoint[] {
  const ready = all.filter(({ row }) => row.ready);
  return ready.length > 0 ? applyHints(ready, place) : all.filter(isFallback);
}

/** Endpoints for traffic policy Local: the same among this node's own; hints are ignored. */
export function eligibleLocal(all: readonly PortEndpoint[], place: Place): PortEndpoint[] {
  const local = all.filter(({ row }) => row.nodeName === place.nodeName);
  const ready = local.filter(({ row }) => row.ready);
  return ready.length > 0 ? ready : local.filter(isFallback);
}

function isFallback({ row }: PortEndpoint): boolean {
  return row.serving && row.terminating;
}

/**
 * Hints count only if every ready endpoint has them and one of them means this place; nodes before
 * zones.
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
