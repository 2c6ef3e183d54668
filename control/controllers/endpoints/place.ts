// Places endpoints into slices and changes as few slices as possible.
import { isEqual, type KubeObject } from '../../kube/object.ts';
import { type Endpoint, type EndpointGroup, portsKey, type SlicePort } from './desired.ts';

/** Upstream's --max-endpoints-per-slice. */
export const ENDPOINTS_MAX = 100;

/** The changes of a Service's slices. */
export interface SliceChanges {
  create: { ports: SlicePort[]; endpoints: Endpoint[] }[];
  update: { slice: KubeObject; endpoints: Endpoint[] }[];
  remove: KubeObject[];
}

/**
 * Keeps each endpoint in its slice, fills gaps before it creates slices, and drops empty ones. A
 * Service without endpoints keeps one empty slice, so that watchers see that it has none.
 */
export function placeEndpoints(
  groups: Map<string, EndpointGroup>,
  slices: KubeObject[],
): SliceChanges {
  const changes: SliceChanges = { create: [], update: [], remove: [] };
  const byPorts = Map.groupBy(slices, (slice) => portsKey(slice.ports as SlicePort[]));
  if (groups.size === 0) return placeNothing(slices, changes);
  for (const [key, group] of groups) placeGroup(group, byPorts.get(key) ?? [], changes);
  for (const [key, stale] of byPorts) if (!groups.has(key)) changes.remove.push(...stale);
  return changes;
}

function placeNothing(slices: KubeObject[], changes: SliceChanges): SliceChanges {
  const [kept, ...others] = slices;
  if (!kept) changes.create.push({ ports: [], endpoints: [] });
  else if (endpointsOf(kept).length > 0) changes.update.push({ slice: kept, endpoints: [] });
  changes.remove.push(...others);
  return changes;
}

function placeGroup(group: EndpointGroup, slices: KubeObject[], changes: SliceChanges): void {
  const waiting = new Map(group.endpoints);
  const kept = slices.map((slice) => ({ slice, endpoints: keepEndpoints(slice, waiting) }));
  // Fills the fullest slices first, so that others become empty and are deleted.
  kept.sort((a, b) => b.endpoints.length - a.endpoints.length);
  const rest = [...waiting.values()];
  for (const { endpoints } of kept) {
    endpoints.push(...rest.splice(0, ENDPOINTS_MAX - endpoints.length));
  }
  for (const { slice, endpoints } of kept) {
    if (endpoints.length === 0) changes.remove.push(slice);
    else if (!isEqual(endpoints, endpointsOf(slice))) changes.update.push({ slice, endpoints });
  }
  while (rest.length > 0) {
    changes.create.push({ ports: group.ports, endpoints: rest.splice(0, ENDPOINTS_MAX) });
  }
}

/** The endpoints of a slice that stay, in their new form. Removes them from `waiting`. */
function keepEndpoints(slice: KubeObject, waiting: Map<string, Endpoint>): Endpoint[] {
  const endpoints: Endpoint[] = [];
  for (const endpoint of endpointsOf(slice)) {
    // Endpoints that another writer added are removed.
    const name = endpoint.targetRef?.name ?? '';
    const wanted = waiting.get(name);
    if (!wanted || endpoints.length === ENDPOINTS_MAX) continue;
    endpoints.push(wanted);
    waiting.delete(name);
  }
  return endpoints;
}

function endpointsOf(slice: KubeObject): (Omit<Endpoint, 'targetRef'> & Partial<Endpoint>)[] {
  return (slice.endpoints as Endpoint[] | undefined) ?? [];
}
