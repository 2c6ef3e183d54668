// Required fields and enumerations, by the precompiled validators of kubernetes-models.

import { validate as validateControllerRevision } from 'kubernetes-models/_schemas/IoK8sApiAppsV1ControllerRevision';
import { validate as validateDaemonSet } from 'kubernetes-models/_schemas/IoK8sApiAppsV1DaemonSet';
import { validate as validateDeployment } from 'kubernetes-models/_schemas/IoK8sApiAppsV1Deployment';
import { validate as validateReplicaSet } from 'kubernetes-models/_schemas/IoK8sApiAppsV1ReplicaSet';
import { validate as validateStatefulSet } from 'kubernetes-models/_schemas/IoK8sApiAppsV1StatefulSet';
import { validate as validateCronJob } from 'kubernetes-models/_schemas/IoK8sApiBatchV1CronJob';
import { validate as validateJob } from 'kubernetes-models/_schemas/IoK8sApiBatchV1Job';
import { validate as validateLease } from 'kubernetes-models/_schemas/IoK8sApiCoordinationV1Lease';
import { validate as validateConfigMap } from 'kubernetes-models/_schemas/IoK8sApiCoreV1ConfigMap';
import { validate as validateEndpoints } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Endpoints';
import { validate as validateEvent } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Event';
import { validate as validateNamespace } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Namespace';
import { validate as validateNode } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Node';
import { validate as validatePersistentVolume } from 'kubernetes-models/_schemas/IoK8sApiCoreV1PersistentVolume';
import { validate as validatePersistentVolumeClaim } from 'kubernetes-models/_schemas/IoK8sApiCoreV1PersistentVolumeClaim';
import { validate as validatePod } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Pod';
import { validate as validateSecret } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Secret';
import { validate as validateService } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Service';
import { validate as validateServiceAccount } from 'kubernetes-models/_schemas/IoK8sApiCoreV1ServiceAccount';
import { validate as validateEndpointSlice } from 'kubernetes-models/_schemas/IoK8sApiDiscoveryV1EndpointSlice';
import { validate as validateIngress } from 'kubernetes-models/_schemas/IoK8sApiNetworkingV1Ingress';
import { validate as validateIngressClass } from 'kubernetes-models/_schemas/IoK8sApiNetworkingV1IngressClass';
import { validate as validateNetworkPolicy } from 'kubernetes-models/_schemas/IoK8sApiNetworkingV1NetworkPolicy';
import { validate as validateStorageClass } from 'kubernetes-models/_schemas/IoK8sApiStorageV1StorageClass';
import { pathOf } from '../../kube/decode.ts';
import type { KubeObject } from '../../kube/object.ts';
import { type FieldError, notSupported, required, wrong } from '../status.ts';

interface SchemaError {
  /** A JSON pointer. */
  instancePath: string;
  keyword: string;
  params: { type?: string; missingProperty?: string; allowedValues?: unknown[] };
}

type Validator = ((data: unknown) => boolean) & { errors?: SchemaError[] | null };

const VALIDATORS: Record<string, Validator> = {
  ConfigMap: validateConfigMap,
  ControllerRevision: validateControllerRevision,
  CronJob: validateCronJob,
  DaemonSet: validateDaemonSet,
  Deployment: validateDeployment,
  Endpoints: validateEndpoints,
  EndpointSlice: validateEndpointSlice,
  Event: validateEvent,
  Ingress: validateIngress,
  IngressClass: validateIngressClass,
  Job: validateJob,
  Lease: validateLease,
  Namespace: validateNamespace,
  NetworkPolicy: validateNetworkPolicy,
  Node: validateNode,
  PersistentVolume: validatePersistentVolume,
  PersistentVolumeClaim: validatePersistentVolumeClaim,
  Pod: validatePod,
  ReplicaSet: validateReplicaSet,
  Secret: validateSecret,
  Service: validateService,
  ServiceAccount: validateServiceAccount,
  StatefulSet: validateStatefulSet,
  StorageClass: validateStorageClass,
};

/** Fields for which upstream's message has a detail. */
const REQUIRED_DETAILS: Record<string, string> = { pathType: 'pathType must be specified' };

/** Enumerations that a kind's rules check: upstream words their errors differently. */
const OWN_ENUMS: Record<string, RegExp> = {
  PersistentVolume: /^\/spec\/accessModes\//,
  PersistentVolumeClaim: /^\/spec\/accessModes\//,
  StatefulSet: /^\/spec\/(podManagementPolicy|updateStrategy\/type)$/,
};

/**
 * The errors of a decoded object by its kind's schema: missing fields, and values outside an
 * enumeration.
 */
export function validateSchema(kind: string, object: KubeObject): FieldError[] {
  const validator = VALIDATORS[kind]!;
  if (validator(object)) return [];
  const own = OWN_ENUMS[kind];
  const errors = (validator.errors ?? []).filter(
    ({ keyword, instancePath }) => keyword !== 'enum' || !own?.test(instancePath),
  );
  return errors.slice(0, 10).map((error) => {
    const at = pathOf(keysOf(error.instancePath));
    const missing = error.params.missingProperty;
    if (missing) {
      return required(at === '' ? missing : `${at}.${missing}`, REQUIRED_DETAILS[missing]);
    }
    if (error.params.allowedValues) {
      const known = error.params.allowedValues.map(String).filter((value) => value !== '');
      return notSupported(at, valueAt(object, error.instancePath), known.sort());
    }
    return wrong(at, valueAt(object, error.instancePath), `must satisfy ${error.keyword}`);
  });
}

/** The keys and indices of a JSON pointer. */
function keysOf(pointer: string): (string | number)[] {
  const keys = pointer.split('/').slice(1);
  return keys
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((key) => (/^\d+$/.test(key) ? Number(key) : key));
}

function valueAt(object: unknown, pointer: string): unknown {
  let value: unknown = object;
  for (const key of pointer.split('/').slice(1)) {
    value = (value as Record<string, unknown> | undefined)?.[key];
  }
  return value;
}
