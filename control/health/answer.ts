// Health answers of a node and of its Services. Pure. Source: k8s pkg/proxy/healthcheck.

import type { Tables } from '../model/tables.ts';
import type { Progress } from '../sync/publisher.ts';
import { dated, type UnhealthyPart } from './monitor.ts';

export interface HealthAnswer {
  status: 200 | 503;
  headers: Record<string, string>;
  body: object;
}

/** Inputs of a node's health answer. */
export interface NodeCondition {
  progress: Progress;
  unhealthy: UnhealthyPart[];
  /** The Node is being deleted, or an autoscaler has marked it for that. */
  isNodeLeaving: boolean;
}

/**
 * The answer of `/healthz`, or of `/livez`, which ignores the Node object.
 *
 * @param originMs wall clock time, in ms, at which the monotonic clock was zero.
 */
export function answerNode(
  path: '/healthz' | '/livez',
  { progress, unhealthy, isNodeLeaving }: NodeCondition,
  nowMs: number,
  originMs: number,
): HealthAnswer {
  const isHealthy = unhealthy.length === 0;
  const time = (ms: number) => new Date(originMs + ms).toISOString();
  // Without a pending change the tables are up to date now.
  const updatedMs = progress.pendingSinceMs === null ? nowMs : (progress.updatedMs ?? nowMs);
  const times = {
    lastUpdated: progress.updatedMs === null ? null : time(updatedMs),
    currentTime: time(nowMs),
  };
  const isLivez = path === '/livez';
  const node = isLivez ? {} : { nodeEligible: !isNodeLeaving };
  const why = isHealthy ? {} : { unhealthy: unhealthy.map((part) => dated(part, originMs)) };
  return {
    status: isHealthy && (isLivez || !isNodeLeaving) ? 200 : 503,
    headers: {},
    body: { ...times, ...node, ...why },
  };
}

/**
 * The answer to a load balancer on a Service's healthCheckNodePort. `serviceKey` is
 * `namespace/name`.
 */
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
