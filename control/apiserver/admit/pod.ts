// Defaults of pods, workloads and EndpointSlices, and admission of pods: k8s
// pkg/apis/core/v1/defaults.go, apps/v1/defaults.go, discovery/v1/defaults.go.
import { isEqual, type KubeObject } from '../../kube/object.ts';
import type { Lookup } from '../kind.ts';
import { refused } from '../status.ts';

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
  // The deprecated name of the field. Some clients still read it.
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
    // A limit without a request is also the request.
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

/** Defaults of a reference to a pod's field or a container's resources. */
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
  if (probe.grpc) fill(probe.grpc, { service: '' });
}

export function defaultEndpointSlice(object: KubeObject): void {
  object.endpoints ??= [];
  for (const port of (object.ports as any[] | undefined) ?? []) {
    fill(port, { name: '', protocol: 'TCP' });
  }
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above.

/** The account of pods that name none. cluster/seed.ts keeps one in every namespace. */
export const ACCOUNT_DEFAULT = 'default';
const PODS = { plural: 'pods', group: '', kind: 'Pod' };

/**
 * Throws StatusError Forbidden for a new pod whose ServiceAccount does not exist:
 * plugin/pkg/admission/serviceaccount. Like upstream, it accepts a pod while the default account is
 * created again.
 *
 * @param name the name for the message. For a generated name it is the base, so that repeated
 *   events are equal.
 */
export function requireAccount(
  others: Lookup,
  { metadata, spec }: KubeObject,
  name: string,
  old?: KubeObject,
): void {
  if (old) return;
  const account: string = spec.serviceAccountName;
  const { namespace = '' } = metadata;
  if (account === ACCOUNT_DEFAULT || others.get('serviceaccounts', namespace, account)) return;
  const why = `error looking up service account ${namespace}/${account}`;
  throw refused(PODS, name, `${why}: serviceaccount ${JSON.stringify(account)} not found`);
}

// Source: k8s plugin/pkg/admission/defaulttolerationseconds.

const KEYS = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'];
const BORNE_S = 300;

/**
 * Lets pods stay five minutes on a node that is not ready or unreachable, unless they say
 * otherwise.
 */
export function tolerateFailures({ spec }: KubeObject): void {
  const tolerations: { key?: string; effect?: string }[] = spec.tolerations ?? [];
  const missing = KEYS.filter(
    (key) =>
      !tolerations.some((t) => (t.key ?? key) === key && (t.effect || 'NoExecute') === 'NoExecute'),
  );
  if (missing.length === 0) return;
  const added = missing.map((key) => ({
    key,
    operator: 'Exists',
    effect: 'NoExecute',
    tolerationSeconds: BORNE_S,
  }));
  spec.tolerations = [...tolerations, ...added];
}

// Deployments and ReplicaSets: pkg/apis/apps/v1/defaults.go.

const ROLLING_SHARE = '25%';

export function defaultReplicaSet(object: KubeObject): void {
  object.spec ??= {};
  const { spec } = object;
  spec.replicas ??= 1;
  defaultTemplate(spec);
}

export function defaultDeployment(object: KubeObject): void {
  defaultReplicaSet(object);
  const { spec } = object;
  spec.strategy ??= {};
  const { strategy } = spec;
  strategy.type ||= 'RollingUpdate';
  if (strategy.type === 'RollingUpdate') {
    strategy.rollingUpdate = {
      maxUnavailable: ROLLING_SHARE,
      maxSurge: ROLLING_SHARE,
      ...strategy.rollingUpdate,
    };
  }
  spec.revisionHistoryLimit ??= 10;
  spec.progressDeadlineSeconds ??= 600;
}

export function defaultStatefulSet(object: KubeObject): void {
  defaultReplicaSet(object);
  const { spec } = object;
  fill(spec, {
    podManagementPolicy: 'OrderedReady',
    updateStrategy: {},
    revisionHistoryLimit: 10,
    persistentVolumeClaimRetentionPolicy: {},
  });
  fill(spec.persistentVolumeClaimRetentionPolicy, { whenDeleted: 'Retain', whenScaled: 'Retain' });
  for (const template of spec.volumeClaimTemplates ?? []) {
    fill(template, { apiVersion: 'v1', kind: 'PersistentVolumeClaim', spec: {} });
    fill(template.spec, { volumeMode: 'Filesystem' });
    template.status = { phase: 'Pending' };
  }
  spec.updateStrategy.type ||= 'RollingUpdate';
  if (spec.updateStrategy.type === 'RollingUpdate') {
    spec.updateStrategy.rollingUpdate = { partition: 0, ...spec.updateStrategy.rollingUpdate };
  }
}

const GENERATION = 'deprecated.daemonset.template.generation';

export function defaultDaemonSet(object: KubeObject, old: KubeObject | undefined): void {
  object.spec ??= {};
  const { spec, metadata } = object;
  defaultTemplate(spec);
  fill(spec, { updateStrategy: {}, revisionHistoryLimit: 10 });
  const { updateStrategy } = spec;
  updateStrategy.type ||= 'RollingUpdate';
  if (updateStrategy.type === 'RollingUpdate') {
    const { rollingUpdate } = updateStrategy;
    updateStrategy.rollingUpdate = { maxUnavailable: 1, maxSurge: 0, ...rollingUpdate };
  }
  // Older clients read how often the template has changed.
  const before = Number(old?.metadata.annotations?.[GENERATION] ?? 0);
  const generation = old && isEqual(old.spec.template, spec.template) ? before : before + 1;
  metadata.annotations = { ...metadata.annotations, [GENERATION]: String(generation) };
}

/** Fills in the template, so that its hash is the same with and without explicit defaults. */
// biome-ignore lint/suspicious/noExplicitAny: what clients sent; types are checked by the schema before.
export function defaultTemplate(spec: any): void {
  if (!spec.template) return;
  spec.template.metadata ??= {};
  // Go clients send an empty time.
  if (!spec.template.metadata.creationTimestamp) delete spec.template.metadata.creationTimestamp;
  defaultPod(spec.template);
}
