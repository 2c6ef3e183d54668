// Which lists of the API are sets or maps, and which maps and structures are atomic. Source: the
// listType, mapType and structType markers of the k8s.io/api types. Models and fields have the
// names of the official JavaScript client.

/** Keys of lists that are maps, sorted by name. [] marks a set of values. */
const CONTAINER: Record<string, string[]> = {
  env: ['name'],
  ports: ['containerPort', 'protocol'],
  volumeDevices: ['devicePath'],
  volumeMounts: ['mountPath'],
};
const CONDITIONS = { conditions: ['type'] };

/** Model -> field -> keys. All other lists are atomic. */
export const KEYED_LISTS: Record<string, Record<string, string[]>> = {
  V1Container: CONTAINER,
  V1DaemonSetStatus: CONDITIONS,
  V1DeploymentStatus: CONDITIONS,
  V1EphemeralContainer: CONTAINER,
  V1NamespaceStatus: CONDITIONS,
  V1NodeSpec: { podCIDRs: [] },
  V1NodeStatus: { ...CONDITIONS, addresses: ['type'] },
  V1ObjectMeta: { finalizers: [], ownerReferences: ['uid'] },
  V1PersistentVolumeClaimStatus: CONDITIONS,
  V1PodSpec: {
    containers: ['name'],
    ephemeralContainers: ['name'],
    hostAliases: ['ip'],
    imagePullSecrets: ['name'],
    initContainers: ['name'],
    resourceClaims: ['name'],
    schedulingGates: ['name'],
    topologySpreadConstraints: ['topologyKey', 'whenUnsatisfiable'],
    volumes: ['name'],
  },
  V1PodStatus: { ...CONDITIONS, podIPs: ['ip'], resourceClaimStatuses: ['name'] },
  V1ReplicaSetStatus: CONDITIONS,
  V1ResourceRequirements: { claims: ['name'] },
  V1ServiceAccount: { secrets: ['name'] },
  V1ServiceSpec: { ports: ['port', 'protocol'] },
  V1ServiceStatus: CONDITIONS,
  V1StatefulSetStatus: CONDITIONS,
};

/** The value of a key that an item omits. */
export const KEY_DEFAULTS: Record<string, unknown> = { protocol: 'TCP' };

/** Atomic maps, as `Model.field`. Keys of all other maps have owners of their own. */
export const ATOMIC_MAPS = new Set(['V1PodSpec.nodeSelector', 'V1ServiceSpec.selector']);

/** Atomic structures. */
export const ATOMIC_MODELS = new Set([
  'V1ConfigMapKeySelector',
  'V1FileKeySelector',
  'V1LabelSelector',
  'V1LocalObjectReference',
  'V1NodeSelector',
  'V1ObjectFieldSelector',
  'V1ObjectReference',
  'V1OwnerReference',
  'V1ResourceFieldSelector',
  'V1SecretKeySelector',
  'V1ServiceBackendPort',
  'V1TypedLocalObjectReference',
]);

/** Fields that every object of upstream has, so that no manager can add them. */
export const ALWAYS_THERE = new Set([
  'containers',
  'jobTemplate',
  'metadata',
  'spec',
  'status',
  'strategy',
  'template',
  'updateStrategy',
]);
