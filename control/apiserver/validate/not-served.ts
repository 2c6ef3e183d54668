// Fields of pods that the lab does not carry out. They are refused by name, in pods and in the
// templates of workloads, so that none of them is ignored silently.
import { isEqual, isObject, type KubeObject } from '../../kube/object.ts';
import { type FieldError, forbidden } from '../status.ts';

/** A field by its path below a pod's spec or an item of it. */
interface Row {
  path: string;
  /** Values that ask for nothing. */
  allowed?: unknown[];
  detail: string;
}

const LEAVE = 'leave it out';
const PROFILES = {
  allowed: ['RuntimeDefault', 'Unconfined'],
  detail: `the lab loads no profiles of the node: use RuntimeDefault, or ${LEAVE}`,
};
const NO_WINDOWS = { detail: `nodes of the lab run Linux: ${LEAVE}` };
const SECURITY: Row[] = [
  { path: 'securityContext.appArmorProfile.type', ...PROFILES },
  { path: 'securityContext.seccompProfile.type', ...PROFILES },
  { path: 'securityContext.windowsOptions', ...NO_WINDOWS },
];

const OF_POD: Row[] = [
  ...SECURITY,
  {
    ...{ path: 'automountServiceAccountToken', allowed: [false] },
    detail: `the lab makes no tokens of service accounts: set false, or ${LEAVE}`,
  },
  { path: 'ephemeralContainers', detail: 'the lab adds no containers to pods: use kubectl exec' },
  { path: 'hostIPC', allowed: [false], detail: `a pod has its own IPC namespace: ${LEAVE}` },
  { path: 'hostPID', allowed: [false], detail: `a pod has its own process namespace: ${LEAVE}` },
  { path: 'hostUsers', allowed: [true], detail: `pods have no user namespace: ${LEAVE}` },
  { path: 'hostnameOverride', detail: 'the lab does not serve it: use hostname' },
  { path: 'os.name', allowed: ['linux'], ...NO_WINDOWS },
  {
    path: 'priority',
    allowed: [0],
    detail: `the server derives it from priorityClassName: ${LEAVE}`,
  },
  {
    path: 'priorityClassName',
    allowed: ['system-cluster-critical', 'system-node-critical'],
    detail: `the lab has no such PriorityClass and preempts no pods: ${LEAVE}`,
  },
  { path: 'resourceClaims', detail: `the lab has no devices to claim: ${LEAVE}` },
  { path: 'runtimeClassName', detail: `the lab has no RuntimeClass: ${LEAVE}` },
  { path: 'schedulingGates', detail: `the scheduler of the lab knows no gates: ${LEAVE}` },
  { path: 'schedulingGroup', detail: `the scheduler of the lab knows no groups: ${LEAVE}` },
  { path: 'securityContext.sysctls', detail: `the lab sets no sysctls for pods: ${LEAVE}` },
];

const OF_SPREAD: Row[] = [
  {
    ...{ path: 'nodeAffinityPolicy', allowed: ['Honor'] },
    detail: `the lab counts the nodes that the pod may run on: ${LEAVE}`,
  },
  {
    ...{ path: 'nodeTaintsPolicy', allowed: ['Ignore'] },
    detail: `the lab counts nodes with taints: ${LEAVE}`,
  },
];

const OF_CONTAINER: Row[] = [
  ...SECURITY,
  { path: 'lifecycle.stopSignal', detail: `containers of the lab get SIGTERM: ${LEAVE}` },
  { path: 'resources.claims', detail: `the lab has no devices to claim: ${LEAVE}` },
  { path: 'restartPolicyRules', detail: `the lab does not serve it: use restartPolicy` },
  {
    ...{ path: 'securityContext.procMount', allowed: ['Default'] },
    detail: `the lab masks parts of /proc: ${LEAVE}`,
  },
  {
    ...{ path: 'terminationMessagePolicy', allowed: ['File'] },
    detail: 'the lab reads the message from terminationMessagePath alone: use File',
  },
  { path: 'volumeDevices', detail: 'the lab has no block devices: use volumeMounts' },
];

const OF_MOUNT: Row[] = [
  {
    ...{ path: 'mountPropagation', allowed: ['None'] },
    detail: `mounts of the lab do not propagate: ${LEAVE}`,
  },
  {
    ...{ path: 'recursiveReadOnly', allowed: ['Disabled', 'IfPossible'] },
    detail: 'the lab does not serve it: use readOnly',
  },
];

const OF_VARIABLE: Row[] = [
  { path: 'valueFrom.fileKeyRef', detail: 'the lab does not serve it: use configMapKeyRef' },
];

const OF_PORT: Row[] = [
  {
    ...{ path: 'hostPort', allowed: [0] },
    detail: 'the lab captures no host ports: use a Service of type NodePort, or hostNetwork',
  },
];

const OF_VOLUME: Row[] = [
  {
    ...{ path: 'emptyDir.medium', allowed: ['', 'Memory'] },
    detail: `the lab has no huge pages: ${LEAVE}`,
  },
];

/** Kinds of volumes that the lab makes. */
const VOLUMES = [
  ...['configMap', 'downwardAPI', 'emptyDir', 'persistentVolumeClaim', 'projected', 'secret'],
];
const SOURCES = ['configMap', 'downwardAPI', 'secret'];

/** Kind -> path of the spec of its pods. */
const POD_SPECS: Record<string, string> = {
  Pod: 'spec',
  ...Object.fromEntries(
    ['DaemonSet', 'Deployment', 'Job', 'ReplicaSet', 'StatefulSet'].map((kind) => [
      kind,
      'spec.template.spec',
    ]),
  ),
  CronJob: 'spec.jobTemplate.spec.template.spec',
};

// biome-ignore-start lint/suspicious/noExplicitAny: types are checked by the schema before.
/**
 * The refused fields of an object with a pod's spec. An update that leaves the spec as it was is
 * accepted, so that objects of an earlier version keep working.
 */
export function validateServed(
  kind: string,
  object: KubeObject,
  old: KubeObject | undefined,
): FieldError[] {
  const path = POD_SPECS[kind];
  const spec: any = path && valueAt(object, path);
  if (!path || !spec || (old && isEqual(spec, valueAt(old, path)))) return [];
  const containers = ['initContainers', 'containers'].flatMap((list) =>
    within(`${path}.${list}`, spec[list]),
  );
  return [
    ...refusals(path, spec, OF_POD),
    ...within(`${path}.topologySpreadConstraints`, spec.topologySpreadConstraints).flatMap(
      ([at, constraint]) => refusals(at, constraint, OF_SPREAD),
    ),
    ...within(`${path}.volumes`, spec.volumes).flatMap(([at, volume]) => ofVolume(at, volume)),
    ...containers.flatMap(([at, container]) => ofContainer(at, container, spec.hostNetwork)),
  ];
}

function ofContainer(at: string, container: any, hostNetwork: boolean): FieldError[] {
  const { env, ports, volumeMounts } = container;
  const lists: [string, any[] | undefined, Row[]][] = [
    ['env', env, OF_VARIABLE],
    ['ports', hostNetwork ? [] : ports, OF_PORT],
    ['volumeMounts', volumeMounts, OF_MOUNT],
  ];
  return [
    ...refusals(at, container, OF_CONTAINER),
    ...lists.flatMap(([name, items, rows]) =>
      within(`${at}.${name}`, items).flatMap(([path, item]) => refusals(path, item, rows)),
    ),
  ];
}

function ofVolume(at: string, volume: any): FieldError[] {
  const sources = within(`${at}.projected.sources`, volume.projected?.sources);
  return [
    ...refusals(at, volume, OF_VOLUME),
    ...unknownIn(at, volume, ['name', ...VOLUMES], VOLUMES),
    ...sources.flatMap(([path, source]) => unknownIn(path, source, SOURCES, SOURCES)),
  ];
}

function unknownIn(at: string, item: object, known: string[], named: string[]): FieldError[] {
  const others = Object.keys(item).filter((key) => !known.includes(key));
  const detail = `the lab does not serve it: use ${named.join(', ')}`;
  return others.map((key) => forbidden(`${at}.${key}`, detail));
}

function within(at: string, items: any[] | undefined): [at: string, item: any][] {
  return (items ?? []).map((item, i) => [`${at}[${i}]`, item]);
}

function refusals(at: string, item: any, rows: Row[]): FieldError[] {
  return rows
    .filter(({ path, allowed = [] }) => {
      const value = valueAt(item, path);
      const isEmpty = Array.isArray(value) && value.length === 0;
      return value !== undefined && !isEmpty && !allowed.includes(value);
    })
    .map(({ path, detail }) => forbidden(`${at}.${path}`, detail));
}

function valueAt(object: unknown, path: string): any {
  return path
    .split('.')
    .reduce((at: any, key) => (isObject(at) ? at[key] : undefined), object as any);
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above.
