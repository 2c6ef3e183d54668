// Facts of upstream's Go types that the official client's models lack.

const CONTAINER = `
    image imagePullPolicy stdin stdinOnce terminationMessagePath terminationMessagePolicy tty
    workingDir
  `;
/**
 * Model -> optional fields that Go declares as plain values with `omitempty`. Go reads their zero
 * ("", 0 or false) for an absent field and never writes it. All other fields keep a zero: they are
 * pointers in Go, or always written.
 */
const PLAIN: Record<string, string> = {
  CoreV1EndpointPort: 'protocol',
  CoreV1Event: 'action count message reason type',
  CoreV1EventSeries: 'count',
  V1ConfigMapEnvSource: 'name',
  V1ConfigMapKeySelector: 'name',
  V1ConfigMapProjection: 'name',
  V1ConfigMapVolumeSource: 'name',
  V1Container: CONTAINER,
  V1ContainerPort: 'hostIP hostPort name protocol',
  V1CronJobSpec: 'concurrencyPolicy',
  V1DaemonSetSpec: 'minReadySeconds',
  V1DaemonSetUpdateStrategy: 'type',
  V1DeploymentSpec: 'minReadySeconds paused',
  V1DeploymentStrategy: 'type',
  V1EmptyDirVolumeSource: 'medium',
  V1EndpointAddress: 'hostname',
  V1EnvFromSource: 'prefix',
  V1EnvVar: 'value',
  V1EphemeralContainer: `${CONTAINER} targetContainerName`,
  V1EventSource: 'component host',
  V1HTTPGetAction: 'host path scheme',
  V1HTTPIngressPath: 'path',
  V1ImageVolumeSource: 'pullPolicy reference',
  V1IngressClassSpec: 'controller',
  V1IngressLoadBalancerIngress: 'hostname ip',
  V1IngressRule: 'host',
  V1IngressTLS: 'secretName',
  V1LoadBalancerIngress: 'hostname ip',
  V1LocalObjectReference: 'name',
  V1NFSVolumeSource: 'readOnly',
  V1NamespaceStatus: 'phase',
  V1NodeSpec: 'externalID podCIDR providerID unschedulable',
  V1ObjectFieldSelector: 'apiVersion',
  V1ObjectMeta: 'generateName generation name namespace resourceVersion selfLink uid',
  V1ObjectReference: 'apiVersion fieldPath kind name namespace resourceVersion uid',
  V1PersistentVolumeClaimSpec: 'volumeName',
  V1PersistentVolumeClaimStatus: 'phase',
  V1PersistentVolumeClaimVolumeSource: 'readOnly',
  V1PersistentVolumeSpec: 'persistentVolumeReclaimPolicy storageClassName',
  V1PersistentVolumeStatus: 'message phase reason',
  V1PodDNSConfigOption: 'name',
  V1PodSpec: `
      dnsPolicy hostIPC hostNetwork hostPID hostname nodeName priorityClassName restartPolicy
      schedulerName serviceAccount serviceAccountName subdomain
    `,
  V1Probe: 'failureThreshold initialDelaySeconds periodSeconds successThreshold timeoutSeconds',
  V1ReplicaSetSpec: 'minReadySeconds',
  V1ResourceFieldSelector: 'containerName',
  V1SELinuxOptions: 'level role type user',
  V1Secret: 'type',
  V1SecretEnvSource: 'name',
  V1SecretKeySelector: 'name',
  V1SecretProjection: 'name',
  V1SecretVolumeSource: 'secretName',
  V1ServiceAccountTokenProjection: 'audience',
  V1ServiceBackendPort: 'name number',
  V1ServicePort: 'name nodePort protocol targetPort',
  V1ServiceSpec: `
      clusterIP externalName externalTrafficPolicy healthCheckNodePort loadBalancerIP
      publishNotReadyAddresses sessionAffinity type
    `,
  V1StatefulSetPersistentVolumeClaimRetentionPolicy: 'whenDeleted whenScaled',
  V1StatefulSetSpec: 'minReadySeconds podManagementPolicy serviceName',
  V1StatefulSetUpdateStrategy: 'type',
  V1TCPSocketAction: 'host',
  V1Taint: 'value',
  V1Toleration: 'effect key operator value',
  V1VolumeMount: 'readOnly subPath subPathExpr',
};
const PLAIN_FIELDS = new Set(
  Object.entries(PLAIN).flatMap(([model, fields]) =>
    fields
      .trim()
      .split(/\s+/)
      .map((f) => `${model}.${f}`),
  ),
);

/** Fields that hold quantities, or maps of them. The client's models call them strings. */
const QUANTITIES = new Set([
  'V1ContainerStatus.allocatedResources',
  'V1EmptyDirVolumeSource.sizeLimit',
  'V1NodeStatus.allocatable',
  'V1NodeStatus.capacity',
  'V1PersistentVolumeClaimStatus.capacity',
  'V1PersistentVolumeSpec.capacity',
  'V1PodSpec.overhead',
  'V1ResourceFieldSelector.divisor',
  'V1ResourceRequirements.limits',
  'V1ResourceRequirements.requests',
  'V1VolumeResourceRequirements.limits',
  'V1VolumeResourceRequirements.requests',
]);

/** True if the zero of a field means that the field is absent. */
export function isPlainField(model: string, field: string): boolean {
  return PLAIN_FIELDS.has(`${model}.${field}`);
}

export function isQuantityField(model: string, field: string): boolean {
  return QUANTITIES.has(`${model}.${field}`);
}
