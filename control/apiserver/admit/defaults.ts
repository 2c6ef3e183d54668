// What upstream fills in: pkg/apis/core/v1/defaults.go, discovery/v1/defaults.go.

import type { KubeObject } from '../../kube/object.ts';
import { ACCOUNT_DEFAULT } from './admission.ts';

// biome-ignore-start lint/suspicious/noExplicitAny: objects are what clients sent; only known fields are touched.
/** Sets the fields that are absent. */
export function fill(object: any, defaults: Record<string, unknown>): void {
  for (const [key, value] of Object.entries(defaults)) object[key] ??= value;
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
    serviceAccountName: spec.serviceAccount || ACCOUNT_DEFAULT,
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
