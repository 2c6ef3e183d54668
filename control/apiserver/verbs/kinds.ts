// The served kinds, one row each. All differences between kinds are here.
import { KINDS, type KubeKind } from '../../kube/kinds.ts';
import { isObject } from '../../kube/object.ts';
import { qosClassOf } from '../../model/quantity.ts';
import { admitIngress } from '../admit/ingress.ts';
import { defaultCronJob, defaultJob } from '../admit/job.ts';
import {
  defaultDaemonSet,
  defaultDeployment,
  defaultEndpointSlice,
  defaultPod,
  defaultReplicaSet,
  defaultStatefulSet,
  requireAccount,
  tolerateFailures,
} from '../admit/pod.ts';
import { defaultService } from '../admit/service.ts';
import { admitClaim, defaultClaim, defaultStorageClass, defaultVolume } from '../admit/storage.ts';
import type { ServedKind } from '../kind.ts';
import { defaultSecret, validateConfigMap, validateSecret } from '../validate/config.ts';
import {
  defaultEndpoints,
  validateEndpointSlice,
  validateEndpoints,
} from '../validate/endpoints.ts';
import { DNS_LABEL, DNS_LABEL_1035, SUBDOMAIN } from '../validate/formats.ts';
import { defaultIngressClass, validateIngress, validateIngressClass } from '../validate/ingress.ts';
import { validateCronJob, validateJob } from '../validate/job.ts';
import { defaultNetworkPolicy, validateNetworkPolicy } from '../validate/networkpolicy.ts';
import { validateEvent, validateLease, validateNode } from '../validate/node.ts';
import { validatePod } from '../validate/pod.ts';
import { validateService } from '../validate/service.ts';
import { validateClaim, validateStorageClass, validateVolume } from '../validate/storage.ts';
import {
  validateDaemonSet,
  validateDeployment,
  validateReplicaSet,
  validateStatefulSet,
} from '../validate/workload.ts';

const GRACE_S_DEFAULT = 30;

/** Readers of the fields at these paths, as text. */
function texts(...paths: string[]): ServedKind['fields'] {
  const readerOf = (path: string) => {
    const keys = path.split('.');
    return (object: unknown) =>
      String(keys.reduce((at, key) => (isObject(at) ? at[key] : undefined), object) ?? '');
  };
  return Object.fromEntries(paths.map((path) => [path, readerOf(path)]));
}

function kind(kind: KubeKind, own: Partial<ServedKind> = {}): ServedKind {
  const { apiVersion, plural, namespaced } = KINDS[kind];
  const slash = apiVersion.indexOf('/');
  return {
    kind,
    apiVersion,
    group: slash < 0 ? '' : apiVersion.slice(0, slash),
    version: apiVersion.slice(slash + 1),
    plural,
    namespaced,
    singular: kind.toLowerCase(),
    shortNames: [],
    categories: [],
    hasStatus: false,
    hasScale: false,
    name: SUBDOMAIN,
    fields: {},
    setDefaults: () => {},
    validate: () => [],
    admit: () => {},
    hasAddresses: false,
    graceS: () => 0,
    protectedNames: [],
    initialStatus: null,
    ...own,
  };
}

export const SERVED: ServedKind[] = [
  kind('Namespace', {
    shortNames: ['ns'],
    hasStatus: true,
    name: DNS_LABEL,
    fields: texts('status.phase'),
    initialStatus: { phase: 'Active' },
    protectedNames: ['default', 'kube-public', 'kube-system'],
    setDefaults(object) {
      const { metadata } = object;
      metadata.labels = { ...metadata.labels, 'kubernetes.io/metadata.name': metadata.name };
      // Keeps a namespace until its content is gone.
      object.spec = { finalizers: ['kubernetes'], ...object.spec };
    },
  }),
  kind('Node', {
    shortNames: ['no'],
    hasStatus: true,
    fields: { 'spec.unschedulable': (o) => String(o.spec?.unschedulable ?? false) },
    validate: validateNode,
  }),
  kind('Pod', {
    shortNames: ['po'],
    categories: ['all'],
    hasStatus: true,
    fields: {
      ...texts('spec.nodeName', 'spec.restartPolicy', 'spec.schedulerName'),
      ...texts('spec.serviceAccountName', 'status.nominatedNodeName'),
      ...texts('status.phase', 'status.podIP'),
      'spec.hostNetwork': (o) => String(o.spec?.hostNetwork ?? false),
    },
    initialStatus: { phase: 'Pending' },
    setDefaults(object) {
      defaultPod(object);
      if (object.status) object.status.qosClass ??= qosClassOf(object.spec);
      tolerateFailures(object);
    },
    validate: validatePod,
    admit: requireAccount,
    // A pod without a node ends at once.
    graceS: (o) =>
      o.spec?.nodeName && !['Succeeded', 'Failed'].includes(o.status?.phase)
        ? (o.spec.terminationGracePeriodSeconds ?? GRACE_S_DEFAULT)
        : 0,
  }),
  kind('Service', {
    shortNames: ['svc'],
    categories: ['all'],
    hasStatus: true,
    name: DNS_LABEL_1035,
    fields: texts('spec.clusterIP', 'spec.type'),
    initialStatus: { loadBalancer: {} },
    setDefaults: defaultService,
    validate: validateService,
    hasAddresses: true,
  }),
  kind('Endpoints', {
    ...{ singular: 'endpoints', shortNames: ['ep'] },
    ...{ setDefaults: defaultEndpoints, validate: validateEndpoints },
  }),
  kind('EndpointSlice', { setDefaults: defaultEndpointSlice, validate: validateEndpointSlice }),
  kind('Event', {
    shortNames: ['ev'],
    validate: validateEvent,
    fields: {
      ...texts('involvedObject.apiVersion', 'involvedObject.fieldPath', 'involvedObject.kind'),
      ...texts('involvedObject.name', 'involvedObject.namespace', 'involvedObject.uid'),
      ...texts('involvedObject.resourceVersion', 'reportingComponent', 'reason', 'type'),
      source: (o) => (o.source as { component?: string })?.component ?? '',
    },
  }),
  kind('ConfigMap', { shortNames: ['cm'], validate: validateConfigMap }),
  kind('Secret', {
    fields: texts('type'),
    ...{ setDefaults: defaultSecret, validate: validateSecret },
  }),
  kind('ServiceAccount', { shortNames: ['sa'] }),
  kind('Deployment', {
    shortNames: ['deploy'],
    categories: ['all'],
    hasStatus: true,
    hasScale: true,
    initialStatus: {},
    setDefaults: defaultDeployment,
    validate: validateDeployment,
  }),
  kind('ReplicaSet', {
    shortNames: ['rs'],
    categories: ['all'],
    hasStatus: true,
    hasScale: true,
    fields: { 'status.replicas': (o) => String(o.status?.replicas ?? 0) },
    initialStatus: { replicas: 0 },
    setDefaults: defaultReplicaSet,
    validate: validateReplicaSet,
  }),
  kind('StatefulSet', {
    ...{ shortNames: ['sts'], categories: ['all'], hasStatus: true, hasScale: true },
    initialStatus: { replicas: 0, availableReplicas: 0 },
    ...{ setDefaults: defaultStatefulSet, validate: validateStatefulSet },
  }),
  kind('DaemonSet', {
    ...{ shortNames: ['ds'], categories: ['all'], hasStatus: true },
    initialStatus: {
      ...{ currentNumberScheduled: 0, desiredNumberScheduled: 0 },
      ...{ numberMisscheduled: 0, numberReady: 0 },
    },
    ...{ setDefaults: defaultDaemonSet, validate: validateDaemonSet },
  }),
  kind('ControllerRevision'),
  kind('Job', {
    ...{ categories: ['all'], hasStatus: true, initialStatus: {} },
    fields: { 'status.successful': (o) => String(o.status?.succeeded ?? 0) },
    ...{ setDefaults: defaultJob, validate: validateJob },
  }),
  kind('CronJob', {
    ...{ shortNames: ['cj'], categories: ['all'], hasStatus: true, initialStatus: {} },
    ...{ setDefaults: defaultCronJob, validate: validateCronJob },
  }),
  kind('PersistentVolumeClaim', {
    ...{ shortNames: ['pvc'], hasStatus: true, initialStatus: { phase: 'Pending' } },
    ...{ setDefaults: defaultClaim, validate: validateClaim, admit: admitClaim },
  }),
  kind('PersistentVolume', {
    ...{ shortNames: ['pv'], hasStatus: true, initialStatus: { phase: 'Pending' } },
    ...{ setDefaults: defaultVolume, validate: validateVolume },
  }),
  kind('StorageClass', {
    singular: 'storageclass',
    shortNames: ['sc'],
    ...{ setDefaults: defaultStorageClass, validate: validateStorageClass },
  }),
  kind('Lease', { validate: validateLease }),
  kind('NetworkPolicy', {
    shortNames: ['netpol'],
    ...{ setDefaults: defaultNetworkPolicy, validate: validateNetworkPolicy },
  }),
  kind('Ingress', {
    ...{ shortNames: ['ing'], hasStatus: true, validate: validateIngress },
    initialStatus: { loadBalancer: {} },
    admit: admitIngress,
  }),
  kind('IngressClass', { setDefaults: defaultIngressClass, validate: validateIngressClass }),
];

const BY_PATH = new Map(SERVED.map((row) => [`${row.apiVersion}/${row.plural}`, row]));

/** The served kind with this apiVersion and plural name. */
export function servedAt(apiVersion: string, plural: string): ServedKind | undefined {
  return BY_PATH.get(`${apiVersion}/${plural}`);
}
