// Defaults of Services: pkg/apis/core/v1/defaults.go, registry/core/service/storage.

import { isEqual, type KubeObject } from '../../kube/object.ts';
import { defaultFamilies } from '../validate/service-families.ts';
import { hasAddress, hasHealthPort, hasNodePorts, isExternal } from '../validate/service-ports.ts';
import { fill } from './pod.ts';

const AFFINITY_S_DEFAULT = 10_800;

// biome-ignore-start lint/suspicious/noExplicitAny: types are checked by the schema before.
export function defaultService(object: KubeObject, old: KubeObject | undefined): void {
  object.spec ??= {};
  const { spec } = object;
  const before = old?.spec;
  fill(spec, { type: 'ClusterIP', sessionAffinity: 'None' });
  if (spec.sessionAffinity === 'ClientIP') {
    const timeoutSeconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
    spec.sessionAffinityConfig = {
      clientIP: { timeoutSeconds: timeoutSeconds ?? AFFINITY_S_DEFAULT },
    };
  } else delete spec.sessionAffinityConfig;
  for (const port of spec.ports ?? []) fill(port, { protocol: 'TCP', targetPort: port.port });
  if (before) {
    dropDependents(spec, before);
    keepAddress(spec, before);
    keepNodePorts(spec, before);
  }
  if (spec.clusterIP && !spec.clusterIPs?.length) spec.clusterIPs = [spec.clusterIP];
  if (hasAddress(spec)) fill(spec, { internalTrafficPolicy: 'Cluster' });
  defaultFamilies(spec, before);
  if (isExternal(spec)) fill(spec, { externalTrafficPolicy: 'Cluster' });
  if (spec.type === 'LoadBalancer') fill(spec, { allocateLoadBalancerNodePorts: true });
}

/**
 * Removes fields that the new type cannot have. A field that the client changes stays, and
 * validation refuses it. Source: dropTypeDependentFields.
 */
function dropDependents(spec: any, old: any): void {
  const drop = (fits: (spec: any) => boolean, fields: string[]) => {
    if (!fits(old) || fits(spec)) return;
    for (const field of fields) if (isEqual(spec[field], old[field])) delete spec[field];
  };
  const isBalanced = ({ type }: any) => type === 'LoadBalancer';
  drop(hasAddress, ['clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy']);
  drop(hasAddress, ['internalTrafficPolicy']);
  drop(hasHealthPort, ['healthCheckNodePort']);
  drop(isBalanced, ['allocateLoadBalancerNodePorts', 'loadBalancerClass']);
  drop(isExternal, ['externalTrafficPolicy']);
  if (!hasNodePorts(old) || hasNodePorts(spec)) return;
  const had = new Set(old.ports?.map((p: any) => p.nodePort));
  for (const port of spec.ports ?? []) if (had.has(port.nodePort)) delete port.nodePort;
}

/** Keeps the address when an update omits it (patchAllocatedValues, NormalizeClusterIPs). */
function keepAddress(spec: any, old: any): void {
  if (!hasAddress(spec) || !hasAddress(old)) return;
  spec.clusterIP ||= old.clusterIP;
  if (!spec.clusterIPs?.length) spec.clusterIPs = old.clusterIPs;
  // Older clients set the singular field only.
  if (spec.clusterIP !== old.clusterIP && isEqual(spec.clusterIPs, old.clusterIPs)) {
    spec.clusterIPs = [spec.clusterIP];
  }
}

/**
 * Keeps the node ports of ports with the same name, unless another port of the update takes them.
 */
function keepNodePorts(spec: any, old: any): void {
  if (hasHealthPort(spec) && hasHealthPort(old)) {
    spec.healthCheckNodePort ||= old.healthCheckNodePort;
  }
  if (!hasNodePorts(spec) || !hasNodePorts(old)) return;
  const keyOf = (port: any, number: number) => `${port.protocol}/${number}`;
  const taken = new Set(spec.ports?.map((p: any) => keyOf(p, p.nodePort)));
  for (const port of spec.ports ?? []) {
    if (port.nodePort) continue;
    const before = old.ports?.find((p: any) => (p.name ?? '') === (port.name ?? ''))?.nodePort;
    if (!before || taken.has(keyOf(port, before))) continue;
    port.nodePort = before;
    taken.add(keyOf(port, before));
  }
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above.
