// Fields of protobuf messages from clients, by number: k8s.io/api/*/generated.proto and
// apimachinery/pkg/apis/meta/v1/generated.proto of Kubernetes 1.33.

export interface Field {
  /** The name in JSON. '' for a message whose fields belong to the outer message. */
  name: string;
  /** A scalar, or the name of a message. */
  type: string;
  shape: 'one' | 'list' | 'map';
  /** An empty string, 0 or false has a meaning: the field is a pointer in Go. */
  isPointer: boolean;
}

/**
 * `NAME:NUMBER[:TYPE]`. The default type is a string. `[]` marks a list, `{}` a map with string
 * keys, `?` a pointer.
 */
const TABLE: Record<string, string> = {
  Unknown: 'typeMeta:1:TypeMeta raw:2:bytes contentEncoding:3 contentType:4',
  TypeMeta: 'apiVersion:1 kind:2',
  ObjectMeta: `
      name:1 generateName:2 namespace:3 selfLink:4 uid:5 resourceVersion:6 generation:7:int
      creationTimestamp:8:Time deletionTimestamp:9:Time deletionGracePeriodSeconds:10:int?
      labels:11:string{} annotations:12:string{} ownerReferences:13:OwnerReference[]
      finalizers:14:string[]
    `,
  OwnerReference: 'kind:1 name:3 uid:4 apiVersion:5 controller:6:bool? blockOwnerDeletion:7:bool?',
  Time: 'seconds:1:int nanos:2:int',
  IntOrString: 'type:1:int intVal:2:int strVal:3',
  Quantity: 'string:1',
  DeleteOptions: `
      gracePeriodSeconds:1:int? preconditions:2:Preconditions orphanDependents:3:bool?
      propagationPolicy:4 dryRun:5:string[]
    `,
  Preconditions: 'uid:1 resourceVersion:2',
  Eviction: 'metadata:1:ObjectMeta deleteOptions:2:DeleteOptions',

  Namespace: 'metadata:1:ObjectMeta spec:2:NamespaceSpec status:3:NamespaceStatus',
  NamespaceSpec: 'finalizers:1:string[]',
  NamespaceStatus: 'phase:1',
  ConfigMap: 'metadata:1:ObjectMeta data:2:string{} binaryData:3:bytes{} immutable:4:bool?',
  Secret: 'metadata:1:ObjectMeta data:2:bytes{} type:3 stringData:4:string{} immutable:5:bool?',
  ServiceAccount: `
      metadata:1:ObjectMeta secrets:2:ObjectReference[] imagePullSecrets:3:LocalObjectReference[]
      automountServiceAccountToken:4:bool?
    `,
  ObjectReference: 'kind:1 namespace:2 name:3 uid:4 apiVersion:5 resourceVersion:6 fieldPath:7',
  LocalObjectReference: 'name:1',

  Service: 'metadata:1:ObjectMeta spec:2:ServiceSpec status:3:ServiceStatus',
  ServiceSpec: `
      ports:1:ServicePort[] selector:2:string{} clusterIP:3 type:4 externalIPs:5:string[]
      sessionAffinity:7 loadBalancerIP:8 loadBalancerSourceRanges:9:string[] externalName:10
      externalTrafficPolicy:11 healthCheckNodePort:12:int publishNotReadyAddresses:13:bool
      sessionAffinityConfig:14:SessionAffinityConfig ipFamilyPolicy:17 clusterIPs:18:string[]
      ipFamilies:19:string[] allocateLoadBalancerNodePorts:20:bool? loadBalancerClass:21?
      internalTrafficPolicy:22 trafficDistribution:23?
    `,
  ServicePort:
    'name:1 protocol:2 port:3:int targetPort:4:IntOrString nodePort:5:int appProtocol:6?',
  SessionAffinityConfig: 'clientIP:1:ClientIPConfig',
  ClientIPConfig: 'timeoutSeconds:1:int?',
  ServiceStatus: 'loadBalancer:1:LoadBalancerStatus',
  LoadBalancerStatus: 'ingress:1:LoadBalancerIngress[]',
  LoadBalancerIngress: 'ip:1 hostname:2',

  Deployment: 'metadata:1:ObjectMeta spec:2:DeploymentSpec status:3:DeploymentStatus',
  DeploymentSpec: `
      replicas:1:int? selector:2:LabelSelector template:3:PodTemplateSpec
      strategy:4:DeploymentStrategy minReadySeconds:5:int revisionHistoryLimit:6:int?
      paused:7:bool progressDeadlineSeconds:9:int?
    `,
  DeploymentStrategy: 'type:1 rollingUpdate:2:RollingUpdateDeployment',
  RollingUpdateDeployment: 'maxUnavailable:1:IntOrString? maxSurge:2:IntOrString?',
  DeploymentStatus: `
      observedGeneration:1:int replicas:2:int updatedReplicas:3:int availableReplicas:4:int
      unavailableReplicas:5:int readyReplicas:7:int collisionCount:8:int?
    `,
  Job: 'metadata:1:ObjectMeta spec:2:JobSpec status:3:JobStatus',
  JobSpec: `
      parallelism:1:int? completions:2:int? activeDeadlineSeconds:3:int? selector:4:LabelSelector
      manualSelector:5:bool? template:6:PodTemplateSpec backoffLimit:7:int?
      ttlSecondsAfterFinished:8:int? completionMode:9? suspend:10:bool?
      backoffLimitPerIndex:12:int? maxFailedIndexes:13:int? podReplacementPolicy:14? managedBy:15?
    `,
  JobStatus: `
      startTime:2:Time completionTime:3:Time active:4:int succeeded:5:int failed:6:int
      completedIndexes:7 ready:9:int? failedIndexes:10? terminating:11:int?
    `,
  JobTemplateSpec: 'metadata:1:ObjectMeta spec:2:JobSpec',
  CronJob: 'metadata:1:ObjectMeta spec:2:CronJobSpec status:3:CronJobStatus',
  CronJobSpec: `
      schedule:1 startingDeadlineSeconds:2:int? concurrencyPolicy:3 suspend:4:bool?
      jobTemplate:5:JobTemplateSpec successfulJobsHistoryLimit:6:int?
      failedJobsHistoryLimit:7:int? timeZone:8?
    `,
  CronJobStatus: 'active:1:ObjectReference[] lastScheduleTime:4:Time lastSuccessfulTime:5:Time',
  LabelSelector: 'matchLabels:1:string{} matchExpressions:2:LabelSelectorRequirement[]',
  LabelSelectorRequirement: 'key:1 operator:2 values:3:string[]',

  Pod: 'metadata:1:ObjectMeta spec:2:PodSpec status:3:PodStatus',
  PodStatus:
    'phase:1 message:3 reason:4 hostIP:5 podIP:6 qosClass:9 nominatedNodeName:11 resize:14',
  PodTemplateSpec: 'metadata:1:ObjectMeta spec:2:PodSpec',
  PodSpec: `
      volumes:1:Volume[] containers:2:Container[] restartPolicy:3
      terminationGracePeriodSeconds:4:int?
      activeDeadlineSeconds:5:int? dnsPolicy:6 nodeSelector:7:string{} serviceAccountName:8
      serviceAccount:9 nodeName:10 hostNetwork:11:bool hostPID:12:bool hostIPC:13:bool
      securityContext:14:PodSecurityContext imagePullSecrets:15:LocalObjectReference[]
      hostname:16 subdomain:17 schedulerName:19
      initContainers:20:Container[] automountServiceAccountToken:21:bool?
      tolerations:22:Toleration[] priorityClassName:24 priority:25:int?
      shareProcessNamespace:27:bool? enableServiceLinks:30:bool?
    `,
  Toleration: 'key:1 operator:2 value:3 effect:4 tolerationSeconds:5:int?',
  Container: `
      name:1 image:2 command:3:string[] args:4:string[] workingDir:5 ports:6:ContainerPort[]
      env:7:EnvVar[] resources:8:ResourceRequirements volumeMounts:9:VolumeMount[]
      livenessProbe:10:Probe
      readinessProbe:11:Probe terminationMessagePath:13 imagePullPolicy:14 stdin:16:bool
      stdinOnce:17:bool tty:18:bool
      securityContext:15:SecurityContext envFrom:19:EnvFromSource[] terminationMessagePolicy:20
      startupProbe:22:Probe restartPolicy:24?
    `,
  ContainerPort: 'name:1 hostPort:2:int containerPort:3:int protocol:4 hostIP:5',
  EnvVar: 'name:1 value:2 valueFrom:3:EnvVarSource',
  EnvVarSource: `
      fieldRef:1:ObjectFieldSelector resourceFieldRef:2:ResourceFieldSelector
      configMapKeyRef:3:KeySelector secretKeyRef:4:KeySelector
    `,
  ObjectFieldSelector: 'apiVersion:1 fieldPath:2',
  ResourceFieldSelector: 'containerName:1 resource:2 divisor:3:Quantity',
  KeySelector: ':1:LocalObjectReference key:2 optional:3:bool?',
  EnvFromSource: 'prefix:1 configMapRef:2:EnvSource secretRef:3:EnvSource',
  EnvSource: ':1:LocalObjectReference optional:2:bool?',
  PodSecurityContext: `
      runAsUser:2:int? runAsNonRoot:3:bool? supplementalGroups:4:int[] fsGroup:5:int?
      runAsGroup:6:int? fsGroupChangePolicy:9?
    `,
  SecurityContext: `
      capabilities:1:Capabilities privileged:2:bool? runAsUser:4:int? runAsNonRoot:5:bool?
      readOnlyRootFilesystem:6:bool? allowPrivilegeEscalation:7:bool? runAsGroup:8:int?
    `,
  Capabilities: 'add:1:string[] drop:2:string[]',
  VolumeMount: 'name:1 readOnly:2:bool mountPath:3 subPath:4 subPathExpr:6',
  Volume: 'name:1 :2:VolumeSource',
  VolumeSource: `
      emptyDir:2:EmptyDirVolumeSource secret:6:SecretVolumeSource
      persistentVolumeClaim:10:PersistentVolumeClaimVolumeSource configMap:19:ConfigMapVolumeSource
    `,
  EmptyDirVolumeSource: 'medium:1 sizeLimit:2:Quantity',
  SecretVolumeSource: 'secretName:1 items:2:KeyToPath[] defaultMode:3:int? optional:4:bool?',
  ConfigMapVolumeSource:
    ':1:LocalObjectReference items:2:KeyToPath[] defaultMode:3:int? optional:4:bool?',
  KeyToPath: 'key:1 path:2 mode:3:int?',
  PersistentVolumeClaimVolumeSource: 'claimName:1 readOnly:2:bool',
  ResourceRequirements: 'limits:1:Quantity{} requests:2:Quantity{}',
  Probe: `
      :1:ProbeHandler initialDelaySeconds:2:int timeoutSeconds:3:int periodSeconds:4:int
      successThreshold:5:int failureThreshold:6:int terminationGracePeriodSeconds:7:int?
    `,
  ProbeHandler: `
      exec:1:ExecAction httpGet:2:HTTPGetAction tcpSocket:3:TCPSocketAction grpc:4:GRPCAction
    `,
  GRPCAction: 'port:1:int service:2?',
  ExecAction: 'command:1:string[]',
  HTTPGetAction: 'path:1 port:2:IntOrString host:3 scheme:4 httpHeaders:5:HTTPHeader[]',
  HTTPHeader: 'name:1 value:2',
  TCPSocketAction: 'port:1:IntOrString host:2',

  Ingress: 'metadata:1:ObjectMeta spec:2:IngressSpec status:3:IngressStatus',
  IngressSpec:
    'defaultBackend:1:IngressBackend tls:2:IngressTLS[] rules:3:IngressRule[] ingressClassName:4?',
  IngressBackend: 'resource:3:TypedLocalObjectReference service:4:IngressServiceBackend',
  TypedLocalObjectReference: 'apiGroup:1? kind:2 name:3',
  IngressServiceBackend: 'name:1 port:2:ServiceBackendPort',
  ServiceBackendPort: 'name:1 number:2:int',
  IngressTLS: 'hosts:1:string[] secretName:2',
  IngressRule: 'host:1 :2:IngressRuleValue',
  IngressRuleValue: 'http:1:HTTPIngressRuleValue',
  HTTPIngressRuleValue: 'paths:1:HTTPIngressPath[]',
  HTTPIngressPath: 'path:1 backend:2:IngressBackend pathType:3?',
  IngressStatus: 'loadBalancer:1:LoadBalancerStatus',
};

/** Message -> field number -> field. */
export const MESSAGES = new Map(
  Object.entries(TABLE).map(([name, fields]) => [
    name,
    new Map(fields.trim().split(/\s+/).map(parse)),
  ]),
);

function parse(text: string): [number: number, field: Field] {
  const [, name, number, type, marks] = /^(\w*):(\d+)(?::(\w+))?(\[\]|\{\}|\?)?$/.exec(text)!;
  const shape = marks === '[]' ? 'list' : marks === '{}' ? 'map' : 'one';
  return [Number(number), { name: name!, type: type ?? 'string', shape, isPointer: marks === '?' }];
}
