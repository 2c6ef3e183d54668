// Which lists of the API are sets or maps, and which maps and structures are whole or not at all.
// The facts are those of the listType, mapType and structType markers of upstream's types; models
// and fields are named as in the official JavaScript client.

/**
 * Keys of the lists whose items are told apart by them, in the order of their names; [] marks a set
 * of values.
 */
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
  V1DeploymentStatus: CONDITIONS,
  V1EphemeralContainer: CONTAINER,
  V1NamespaceStatus: CONDITIONS,
  V1NodeSpec: { podCIDRs: [] },
  V1NodeStatus: { ...CONDITIONS, addresses: ['type'] },
  V1ObjectMeta: { finalizers: [], ownerReferences: ['uid'] },
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
};

/** What a key is where an item leaves it out. */
export const KEY_DEFAULTS: Record<string, unknown> = { protocol: 'TCP' };

/** Maps that are set as a whole, as `Model.field`; in all others every key stands for itself. */
export const ATOMIC_MAPS = new Set(['V1PodSpec.nodeSelector', 'V1ServiceSpec.selector']);

/** Structures that are set as a whole. */
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

/** Fields that no object of upstream is without, so that nobody is ever said to have added them. */
export const ALWAYS_THERE = new Set([
  'containers',
  'metadata',
  'spec',
  'status',
  'strategy',
  'template',
]);
