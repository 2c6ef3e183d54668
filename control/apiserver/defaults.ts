// What upstream fills in: pkg/apis/core/v1/defaults.go, discovery/v1/defaults.go, registry/core/service/storage.
import type { KubeObject } from './object.ts';

const AFFINITY_S_DEFAULT = 10_800;

// biome-ignore-start lint/suspicious/noExplicitAny: objects are what clients sent; only known fields are touched.
function fill(object: any, defaults: Record<string, unknown>): void {
  for (const [key, value] of Object.entries(defaults)) object[key] ??= value;
}

export function defaultService(object: KubeObject, old: KubeObject | undefined): void {
  object.spec ??= {};
  const { spec } = object;
  fill(spec, { type: 'ClusterIP', sessionAffinity: 'None' });
  if (spec.type === 'ExternalName') {
    delete spec.clusterIP;
    delete spec.clusterIPs;
  } else {
    keepAddress(spec, old);
    fill(spec, {
      internalTrafficPolicy: 'Cluster',
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
    });
  }
  if (spec.sessionAffinity === 'ClientIP') {
    const timeoutSeconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
    spec.sessionAffinityConfig = {
      clientIP: { timeoutSeconds: timeoutSeconds ?? AFFINITY_S_DEFAULT },
    };
  } else delete spec.sessionAffinityConfig;
  if (spec.type === 'NodePort' || spec.type === 'LoadBalancer') {
    fill(spec, { externalTrafficPolicy: 'Cluster' });
  } else if (!spec.externalIPs?.length) delete spec.externalTrafficPolicy;
  else fill(spec, { externalTrafficPolicy: 'Cluster' });
  if (spec.type === 'LoadBalancer') fill(spec, { allocateLoadBalancerNodePorts: true });
  else {
    delete spec.allocateLoadBalancerNodePorts;
  }
  for (const port of spec.ports ?? []) {
    fill(port, { protocol: 'TCP', targetPort: port.port });
  }
  keepNodePorts(spec, old);
}

/** An update that leaves out the address means the one the Service has. */
function keepAddress(spec: any, old: KubeObject | undefined): void {
  if (spec.clusterIPs?.length && !spec.clusterIP) spec.clusterIP = spec.clusterIPs[0];
  if (!spec.clusterIP && old?.spec?.clusterIP && old.spec.type !== 'ExternalName') {
    spec.clusterIP = old.spec.clusterIP;
  }
  if (spec.clusterIP) spec.clusterIPs ??= [spec.clusterIP];
}

/** Ports that are still there keep their node ports (patchAllocatedValues upstream). */
function keepNodePorts(spec: any, old: KubeObject | undefined): void {
  const needs = spec.type === 'NodePort' || spec.type === 'LoadBalancer';
  if (!old) return;
  if (!needs) return dropNodePorts(spec, old);
  const taken = new Set(spec.ports?.map((p: any) => `${p.protocol}${p.nodePort}`));
  for (const port of spec.ports ?? []) {
    if (port.nodePort) continue;
    const before = old.spec?.ports?.find(
      (p: any) => p.port === port.port && p.protocol === port.protocol,
    );
    if (before?.nodePort && !taken.has(`${port.protocol}${before.nodePort}`)) {
      port.nodePort = before.nodePort;
    }
  }
}

/** A Service that turns back into one without node ports gives up those it had (dropTypeDependentFields). */
function dropNodePorts(spec: any, old: KubeObject): void {
  const had = new Set(old.spec?.ports?.map((p: any) => p.nodePort));
  for (const port of spec.ports ?? []) if (had.has(port.nodePort)) delete port.nodePort;
}

export function defaultPod(object: KubeObject): void {
  object.spec ??= {};
  const { spec } = object;
  fill(spec, {
    restartPolicy: 'Always',
    dnsPolicy: 'ClusterFirst',
    terminationGracePeriodSeconds: 30,
    schedulerName: 'default-scheduler',
    securityContext: {},
    enableServiceLinks: true,
    serviceAccountName: spec.serviceAccount || 'default',
  });
  // The name that the field had before, which clients may still read.
  spec.serviceAccount = spec.serviceAccountName;
  for (const volume of spec.volumes ?? []) defaultVolume(volume);
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])]) {
    fill(container, {
      terminationMessagePath: '/dev/termination-log',
      terminationMessagePolicy: 'File',
      imagePullPolicy: /(^[^:@]+$|:latest$)/.test(container.image ?? '')
        ? 'Always'
        : 'IfNotPresent',
      resources: {},
    });
    for (const port of container.ports ?? []) {
      fill(port, { protocol: 'TCP', ...(spec.hostNetwork && { hostPort: port.containerPort }) });
    }
    for (const name of ['livenessProbe', 'readinessProbe', 'startupProbe']) {
      if (container[name]) defaultProbe(container[name]);
    }
    for (const name of ['postStart', 'preStop']) defaultHttpGet(container.lifecycle?.[name]);
    for (const { valueFrom } of container.env ?? []) defaultField(valueFrom);
    const { limits } = container.resources;
    // What is limited and says no more requests as much.
    if (limits) container.resources.requests = { ...limits, ...container.resources.requests };
  }
}

const FILE_MODE_DEFAULT = 0o644;

function defaultVolume(volume: any): void {
  const { name: _, ...sources } = volume;
  if (Object.keys(sources).length === 0) volume.emptyDir = {};
  for (const kind of ['configMap', 'secret', 'downwardAPI', 'projected']) {
    if (volume[kind]) fill(volume[kind], { defaultMode: FILE_MODE_DEFAULT });
  }
  const projected = (volume.projected?.sources ?? []).map((source: any) => source.downwardAPI);
  for (const downward of [volume.downwardAPI, ...projected]) {
    for (const item of downward?.items ?? []) defaultField(item);
  }
}

/** What refers to a field of the pod, or to resources of a container. */
function defaultField(reference: any): void {
  if (reference?.fieldRef) fill(reference.fieldRef, { apiVersion: 'v1' });
  if (reference?.resourceFieldRef) fill(reference.resourceFieldRef, { divisor: '0' });
}

function defaultHttpGet(handler: any): void {
  if (handler?.httpGet) fill(handler.httpGet, { path: '/', scheme: 'HTTP' });
}

function defaultProbe(probe: any): void {
  fill(probe, { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 });
  defaultHttpGet(probe);
}

export function defaultEndpointSlice(object: KubeObject): void {
  object.endpoints ??= [];
  for (const port of (object.ports as any[] | undefined) ?? []) {
    fill(port, { name: '', protocol: 'TCP' });
  }
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above.
