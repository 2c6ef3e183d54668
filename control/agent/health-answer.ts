// What a node says of its own health and of its Services'. Pure. Source: k8s pkg/proxy/healthcheck.
import type { Tables } from '../model/tables.ts';

/** A change that waits longer than this to be put in force means that the node is not well. */
const PENDING_MS_MAX = 60_000;

export interface HealthAnswer {
  status: 200 | 503;
  headers: Record<string, string>;
  body: object;
}

/** How far a node's publisher is. Times are of one clock, in ms. */
export interface Progress {
  /** When the oldest change came that is not in force; null if none waits. */
  pendingSinceMs: number | null;
  /** When the tables were last found to be in force; null before the first image. */
  updatedMs: number | null;
}

/** False before the first image, and while a change waits for too long. */
export function isProxyHealthy({ pendingSinceMs, updatedMs }: Progress, nowMs: number): boolean {
  if (updatedMs === null) return false;
  return pendingSinceMs === null || nowMs - pendingSinceMs <= PENDING_MS_MAX;
}

/**
 * The answer of `/healthz`, or of `/livez`, which does not look at the Node.
 *
 * @param originMs the wall clock's time, in ms, at which the other times count from.
 */
export function answerNode(
  path: '/healthz' | '/livez',
  progress: Progress,
  nowMs: number,
  originMs: number,
  isNodeLeaving: boolean,
): HealthAnswer {
  const isHealthy = isProxyHealthy(progress, nowMs);
  const time = (ms: number) => new Date(originMs + ms).toISOString();
  // Nothing to do means that everything is as of now.
  const updatedMs = progress.pendingSinceMs === null ? nowMs : (progress.updatedMs ?? nowMs);
  const times = {
    lastUpdated: progress.updatedMs === null ? null : time(updatedMs),
    currentTime: time(nowMs),
  };
  const isLivez = path === '/livez';
  return {
    status: isHealthy && (isLivez || !isNodeLeaving) ? 200 : 503,
    headers: {},
    body: isLivez ? times : { ...times, nodeEligible: !isNodeLeaving },
  };
}

/** What a load balancer is told on a Service's healthCheckNodePort. `serviceKey` is `namespace/name`. */
export function answerService(
  serviceKey: string,
  tables: Tables,
  isHealthy: boolean,
): HealthAnswer {
  const [namespace, name] = serviceKey.split('/');
  const localEndpoints = countLocalReady(serviceKey, tables);
  return {
    status: localEndpoints > 0 && isHealthy ? 200 : 503,
    headers: { 'x-load-balancing-endpoint-weight': String(localEndpoints) },
    body: { service: { namespace, name }, localEndpoints, serviceProxyHealthy: isHealthy },
  };
}

/** Addresses on this node that are ready in any slice of the Service. */
function countLocalReady(serviceKey: string, tables: Tables): number {
  const found = new Set<number>();
  for (const { endpoints } of tables.slicesOf(serviceKey).values()) {
    for (const { address, nodeName, ready } of endpoints) {
      if (ready && nodeName === tables.nodeName) found.add(address);
    }
  }
  return found.size;
}
