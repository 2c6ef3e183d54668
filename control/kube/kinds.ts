// The kinds that kubetun uses, one row each: their path, and the official client's type. Only this
// folder imports the client, so it exports the types.
import type {
  CoreV1Event,
  V1ConfigMap,
  V1ControllerRevision,
  V1CronJob,
  V1DaemonSet,
  V1Deployment,
  V1EndpointSlice,
  V1Endpoints,
  V1Ingress,
  V1IngressClass,
  V1Job,
  V1Lease,
  V1Namespace,
  V1NetworkPolicy,
  V1Node,
  V1PersistentVolume,
  V1PersistentVolumeClaim,
  V1Pod,
  V1ReplicaSet,
  V1Secret,
  V1Service,
  V1ServiceAccount,
  V1ServiceCIDR,
  V1StatefulSet,
  V1StorageClass,
} from '@kubernetes/client-node';

/** A type of the official client in JSON form: times are RFC 3339 strings, not Date objects. */
export type Wire<T> = T extends Date
  ? string
  : T extends (infer U)[]
    ? Wire<U>[]
    : T extends object
      ? { [P in keyof T]: Wire<T[P]> }
      : T;

export type Service = Wire<V1Service>;
export type EndpointSlice = Wire<V1EndpointSlice>;
export type Node = Wire<V1Node>;
export type Pod = Wire<V1Pod>;
export type Container = NonNullable<Pod['spec']>['containers'][number];
export type Probe = NonNullable<Container['readinessProbe']>;
export type Namespace = Wire<V1Namespace>;
export type NetworkPolicy = Wire<V1NetworkPolicy>;

/** Kind -> object type. */
export interface KubeKinds {
  Namespace: Namespace;
  Node: Node;
  Pod: Pod;
  Service: Service;
  Endpoints: Wire<V1Endpoints>;
  EndpointSlice: EndpointSlice;
  Event: Wire<CoreV1Event>;
  ConfigMap: Wire<V1ConfigMap>;
  Secret: Wire<V1Secret>;
  ServiceAccount: Wire<V1ServiceAccount>;
  Deployment: Wire<V1Deployment>;
  ReplicaSet: Wire<V1ReplicaSet>;
  StatefulSet: Wire<V1StatefulSet>;
  DaemonSet: Wire<V1DaemonSet>;
  ControllerRevision: Wire<V1ControllerRevision>;
  Job: Wire<V1Job>;
  CronJob: Wire<V1CronJob>;
  PersistentVolumeClaim: Wire<V1PersistentVolumeClaim>;
  PersistentVolume: Wire<V1PersistentVolume>;
  StorageClass: Wire<V1StorageClass>;
  Lease: Wire<V1Lease>;
  NetworkPolicy: NetworkPolicy;
  Ingress: Wire<V1Ingress>;
  IngressClass: Wire<V1IngressClass>;
  ServiceCIDR: Wire<V1ServiceCIDR>;
}

export type KubeKind = keyof KubeKinds;

/** The path of a kind. */
export interface KindRow {
  /** `v1` or `group/version`. */
  apiVersion: string;
  plural: string;
  namespaced: boolean;
}

function row(apiVersion: string, plural: string, namespaced = true): KindRow {
  return { apiVersion, plural, namespaced };
}

export const KINDS: { readonly [K in KubeKind]: KindRow } = {
  Namespace: row('v1', 'namespaces', false),
  Node: row('v1', 'nodes', false),
  Pod: row('v1', 'pods'),
  Service: row('v1', 'services'),
  Endpoints: row('v1', 'endpoints'),
  EndpointSlice: row('discovery.k8s.io/v1', 'endpointslices'),
  Event: row('v1', 'events'),
  ConfigMap: row('v1', 'configmaps'),
  Secret: row('v1', 'secrets'),
  ServiceAccount: row('v1', 'serviceaccounts'),
  Deployment: row('apps/v1', 'deployments'),
  ReplicaSet: row('apps/v1', 'replicasets'),
  StatefulSet: row('apps/v1', 'statefulsets'),
  DaemonSet: row('apps/v1', 'daemonsets'),
  ControllerRevision: row('apps/v1', 'controllerrevisions'),
  Job: row('batch/v1', 'jobs'),
  CronJob: row('batch/v1', 'cronjobs'),
  PersistentVolumeClaim: row('v1', 'persistentvolumeclaims'),
  PersistentVolume: row('v1', 'persistentvolumes', false),
  StorageClass: row('storage.k8s.io/v1', 'storageclasses', false),
  Lease: row('coordination.k8s.io/v1', 'leases'),
  NetworkPolicy: row('networking.k8s.io/v1', 'networkpolicies'),
  Ingress: row('networking.k8s.io/v1', 'ingresses'),
  IngressClass: row('networking.k8s.io/v1', 'ingressclasses', false),
  ServiceCIDR: row('networking.k8s.io/v1', 'servicecidrs', false),
};

/** The path of a group and version. */
export function rootOf(apiVersion: string): string {
  return apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`;
}

/**
 * The path of a kind's collection, or of one object. Without a namespace the path covers all
 * namespaces, for list and watch only.
 */
export function pathOf(kind: KubeKind, namespace?: string, name?: string): string {
  const { apiVersion, plural, namespaced } = KINDS[kind];
  const scope = namespaced && namespace ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${rootOf(apiVersion)}${scope}/${plural}${name ? `/${encodeURIComponent(name)}` : ''}`;
}
