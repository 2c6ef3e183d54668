// The served kinds, one row each. All differences between kinds are here.
import { KINDS, type KubeKind } from '../../kube/kinds.ts';
import type { KubeObject } from '../../kube/object.ts';
import { qosClassOf } from '../../model/quantity.ts';
import {
  defaultDeployment,
  defaultEndpointSlice,
  defaultPod,
  defaultReplicaSet,
  requireAccount,
  tolerateFailures,
} from '../admit/pod.ts';
import { defaultService } from '../admit/service.ts';
import type { ServedKind } from '../kind.ts';
import { defaultSecret, validateConfigMap, validateSecret } from '../validate/config.ts';
import {
  defaultEndpoints,
  validateEndpointSlice,
  validateEndpoints,
} from '../validate/endpoints.ts';
import { defaultIngressClass, validateIngress, validateIngressClass } from '../validate/ingress.ts';
import {
  DNS_LABEL_1035_HINT,
  DNS_LABEL_HINT,
  isDnsLabel,
  isDnsLabel1035,
  isSubdomain,
  SUBDOMAIN_HINT,
} from '../validate/names.ts';
import { defaultNetworkPolicy, validateNetworkPolicy } from '../validate/networkpolicy.ts';
import { validateEvent, validateLease, validateNode } from '../validate/node.ts';
import { validatePod } from '../validate/pod.ts';
import { validateService } from '../validate/service.ts';
import { validateDeployment, validateReplicaSet } from '../validate/workload.ts';

const SUBDOMAIN_NAME = { test: isSubdomain, hint: SUBDOMAIN_HINT };
const LABEL_NAME = { test: isDnsLabel, hint: DNS_LABEL_HINT };
const SERVICE_NAME = { test: isDnsLabel1035, hint: DNS_LABEL_1035_HINT };

const GRACE_S_DEFAULT = 30;

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
    name: SUBDOMAIN_NAME,
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
    name: LABEL_NAME,
    fields: { 'status.phase': (o) => o.status?.phase ?? '' },
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
      'spec.nodeName': (o) => o.spec?.nodeName ?? '',
      'spec.restartPolicy': (o) => o.spec?.restartPolicy ?? '',
      'spec.schedulerName': (o) => o.spec?.schedulerName ?? '',
      'spec.serviceAccountName': (o) => o.spec?.serviceAccountName ?? '',
      'spec.hostNetwork': (o) => String(o.spec?.hostNetwork ?? false),
      'status.nominatedNodeName': (o) => o.status?.nominatedNodeName ?? '',
      'status.phase': (o) => o.status?.phase ?? '',
      'status.podIP': (o) => o.status?.podIP ?? '',
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
    name: SERVICE_NAME,
    fields: {
      'spec.clusterIP': (o) => o.spec?.clusterIP ?? '',
      'spec.type': (o) => o.spec?.type ?? '',
    },
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
      ...Object.fromEntries(
        ['apiVersion', 'fieldPath', 'kind', 'name', 'namespace', 'resourceVersion', 'uid'].map(
          (part) => [
            `involvedObject.${part}`,
            (o: KubeObject) => (o.involvedObject as Record<string, string>)?.[part] ?? '',
          ],
        ),
      ),
      reportingComponent: (o) => String(o.reportingComponent ?? ''),
      source: (o) => (o.source as { component?: string })?.component ?? '',
      reason: (o) => String(o.reason ?? ''),
      type: (o) => String(o.type ?? ''),
    },
  }),
  kind('ConfigMap', { shortNames: ['cm'], validate: validateConfigMap }),
  kind('Secret', {
    fields: { type: (o) => String(o.type ?? '') },
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
  kind('Lease', { validate: validateLease }),
  kind('NetworkPolicy', {
    shortNames: ['netpol'],
    ...{ setDefaults: defaultNetworkPolicy, validate: validateNetworkPolicy },
  }),
  kind('Ingress', {
    ...{ shortNames: ['ing'], hasStatus: true, validate: validateIngress },
    initialStatus: { loadBalancer: {} },
  }),
  kind('IngressClass', { setDefaults: defaultIngressClass, validate: validateIngressClass }),
];

const BY_PATH = new Map(SERVED.map((row) => [`${row.apiVersion}/${row.plural}`, row]));

/** The served kind with this apiVersion and plural name. */
export function servedAt(apiVersion: string, plural: string): ServedKind | undefined {
  return BY_PATH.get(`${apiVersion}/${plural}`);
}
