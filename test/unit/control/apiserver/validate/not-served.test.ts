// What the lab does with each field of a pod: it carries the field out, the field asks for nothing
// in a lab, or the pod is refused with the name of the field. A field of a later version of the
// client fails the first test until it has a row.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultPod } from '../../../../../control/apiserver/admit/pod.ts';
import { validateServed } from '../../../../../control/apiserver/validate/not-served.ts';
import { SERVED } from '../../../../../control/apiserver/verbs/kinds.ts';
import { attributesOfModel } from '../../../../../control/kube/models.ts';
import type { KubeObject } from '../../../../../control/kube/object.ts';

/** Carried out. */
const DONE = 'done';
/** Nothing to carry out, with the reason. */
const harmless = (why: string) => ({ why });
/** Refused for this value. */
const refused = (value: unknown, below = '') => ({ refused: value, below });
type Fate = typeof DONE | ReturnType<typeof harmless> | ReturnType<typeof refused>;

const PROFILE = refused({ type: 'Localhost', localhostProfile: 'p' }, '.type');
const NO_SELINUX = harmless('nodes without SELinux ignore it upstream too');
const VOLUME = refused({});

/** Model -> where a value of it lies in a pod, and the fate of each field. */
const TABLE: Record<string, [at: string, fates: Record<string, Fate>]> = {
  V1PodSpec: [
    'spec',
    {
      activeDeadlineSeconds: DONE,
      affinity: DONE,
      automountServiceAccountToken: refused(true),
      containers: DONE,
      dnsConfig: DONE,
      dnsPolicy: DONE,
      enableServiceLinks: DONE,
      ephemeralContainers: refused([{ name: 'e' }]),
      hostAliases: DONE,
      hostIPC: refused(true),
      hostNetwork: DONE,
      hostPID: refused(true),
      hostUsers: refused(false),
      hostname: DONE,
      hostnameOverride: refused('other'),
      imagePullSecrets: harmless('nothing is pulled'),
      initContainers: DONE,
      nodeName: DONE,
      nodeSelector: DONE,
      os: refused({ name: 'windows' }, '.name'),
      overhead: DONE,
      preemptionPolicy: harmless('no pod preempts another'),
      priority: refused(5),
      priorityClassName: refused('shop-high'),
      readinessGates: DONE,
      resourceClaims: refused([{ name: 'gpu' }]),
      resources: DONE,
      restartPolicy: DONE,
      runtimeClassName: refused('gvisor'),
      schedulerName: DONE,
      schedulingGates: refused([{ name: 'example.com/wait' }]),
      schedulingGroup: refused({}),
      securityContext: DONE,
      serviceAccount: DONE,
      serviceAccountName: DONE,
      setHostnameAsFQDN: DONE,
      shareProcessNamespace: harmless('containers of a pod always share it'),
      subdomain: DONE,
      terminationGracePeriodSeconds: DONE,
      tolerations: DONE,
      topologySpreadConstraints: DONE,
      volumes: DONE,
    },
  ],
  V1PodSecurityContext: [
    'spec.securityContext',
    {
      appArmorProfile: PROFILE,
      fsGroup: DONE,
      fsGroupChangePolicy: harmless('volumes are given to the group at every start of a pod'),
      runAsGroup: DONE,
      runAsNonRoot: DONE,
      runAsUser: DONE,
      seLinuxChangePolicy: NO_SELINUX,
      seLinuxOptions: NO_SELINUX,
      seccompProfile: PROFILE,
      supplementalGroups: DONE,
      supplementalGroupsPolicy: DONE,
      sysctls: refused([{ name: 'net.core.somaxconn', value: '1' }]),
      windowsOptions: refused({}),
    },
  ],
  V1Container: [
    'spec.containers[0]',
    {
      args: DONE,
      command: DONE,
      env: DONE,
      envFrom: DONE,
      image: DONE,
      imagePullPolicy: harmless('nothing is pulled'),
      lifecycle: DONE,
      livenessProbe: DONE,
      name: DONE,
      ports: DONE,
      readinessProbe: DONE,
      resizePolicy: harmless('a running pod is not resized'),
      resources: DONE,
      restartPolicy: DONE,
      restartPolicyRules: refused([{ action: 'Restart' }]),
      securityContext: DONE,
      startupProbe: DONE,
      stdin: DONE,
      stdinOnce: harmless('kubectl attach refuses input with a message'),
      terminationMessagePath: DONE,
      terminationMessagePolicy: refused('FallbackToLogsOnError'),
      tty: harmless('the output is the same; kubectl attach refuses input with a message'),
      volumeDevices: refused([{ name: 'v', devicePath: '/dev/x' }]),
      volumeMounts: DONE,
      workingDir: DONE,
    },
  ],
  V1SecurityContext: [
    'spec.containers[0].securityContext',
    {
      allowPrivilegeEscalation: DONE,
      appArmorProfile: PROFILE,
      capabilities: DONE,
      privileged: DONE,
      procMount: refused('Unmasked'),
      readOnlyRootFilesystem: DONE,
      runAsGroup: DONE,
      runAsNonRoot: DONE,
      runAsUser: DONE,
      seLinuxOptions: NO_SELINUX,
      seccompProfile: PROFILE,
      windowsOptions: refused({}),
    },
  ],
  V1ResourceRequirements: [
    'spec.containers[0].resources',
    {
      claims: refused([{ name: 'gpu' }]),
      limits: harmless('a limit is the default of a request, and nothing is throttled'),
      requests: DONE,
    },
  ],
  V1ContainerPort: [
    'spec.containers[0].ports[0]',
    {
      containerPort: DONE,
      hostIP: harmless('it narrows hostPort, which is refused'),
      hostPort: refused(8080),
      name: DONE,
      protocol: DONE,
    },
  ],
  V1EnvVarSource: [
    'spec.containers[0].env[0].valueFrom',
    {
      configMapKeyRef: DONE,
      fieldRef: DONE,
      fileKeyRef: refused({}),
      resourceFieldRef: DONE,
      secretKeyRef: DONE,
    },
  ],
  V1EnvFromSource: [
    'spec.containers[0].envFrom[0]',
    { configMapRef: DONE, prefix: DONE, secretRef: DONE },
  ],
  V1Lifecycle: [
    'spec.containers[0].lifecycle',
    { postStart: DONE, preStop: DONE, stopSignal: refused('SIGUSR1') },
  ],
  V1LifecycleHandler: [
    'spec.containers[0].lifecycle.preStop',
    { exec: DONE, httpGet: DONE, sleep: DONE, tcpSocket: DONE },
  ],
  V1Probe: [
    'spec.containers[0].livenessProbe',
    {
      exec: DONE,
      failureThreshold: DONE,
      grpc: DONE,
      httpGet: DONE,
      initialDelaySeconds: DONE,
      periodSeconds: DONE,
      successThreshold: DONE,
      tcpSocket: DONE,
      terminationGracePeriodSeconds: DONE,
      timeoutSeconds: DONE,
    },
  ],
  V1VolumeMount: [
    'spec.containers[0].volumeMounts[0]',
    {
      mountPath: DONE,
      mountPropagation: refused('Bidirectional'),
      name: DONE,
      readOnly: DONE,
      recursiveReadOnly: refused('Enabled'),
      subPath: DONE,
      subPathExpr: DONE,
    },
  ],
  V1Volume: [
    'spec.volumes[0]',
    {
      ...{ awsElasticBlockStore: VOLUME, azureDisk: VOLUME, azureFile: VOLUME, cephfs: VOLUME },
      ...{ cinder: VOLUME, configMap: DONE, csi: VOLUME, downwardAPI: DONE, emptyDir: DONE },
      ...{ ephemeral: VOLUME, fc: VOLUME, flexVolume: VOLUME, flocker: VOLUME },
      ...{ gcePersistentDisk: VOLUME, gitRepo: VOLUME, glusterfs: VOLUME, hostPath: VOLUME },
      ...{ image: VOLUME, iscsi: VOLUME, name: DONE, nfs: VOLUME, persistentVolumeClaim: DONE },
      ...{ photonPersistentDisk: VOLUME, portworxVolume: VOLUME, projected: DONE },
      ...{ quobyte: VOLUME, rbd: VOLUME, scaleIO: VOLUME, secret: DONE, storageos: VOLUME },
      vsphereVolume: VOLUME,
    },
  ],
  V1EmptyDirVolumeSource: [
    'spec.volumes[0].emptyDir',
    {
      medium: refused('HugePages'),
      sizeLimit: harmless('the kubelet of a small machine evicts late too; nothing is evicted'),
    },
  ],
  V1VolumeProjection: [
    'spec.volumes[0].projected.sources[0]',
    {
      clusterTrustBundle: refused({}),
      configMap: DONE,
      downwardAPI: DONE,
      podCertificate: refused({}),
      secret: DONE,
      serviceAccountToken: refused({}),
    },
  ],
  V1TopologySpreadConstraint: [
    'spec.topologySpreadConstraints[0]',
    {
      labelSelector: DONE,
      matchLabelKeys: DONE,
      maxSkew: DONE,
      minDomains: DONE,
      nodeAffinityPolicy: refused('Ignore'),
      nodeTaintsPolicy: refused('Honor'),
      topologyKey: DONE,
      whenUnsatisfiable: DONE,
    },
  ],
  V1NodeAffinity: [
    'spec.affinity.nodeAffinity',
    {
      preferredDuringSchedulingIgnoredDuringExecution: harmless('a wish: every node stays allowed'),
      requiredDuringSchedulingIgnoredDuringExecution: DONE,
    },
  ],
  V1PodAffinity: [
    'spec.affinity.podAffinity',
    {
      preferredDuringSchedulingIgnoredDuringExecution: harmless('a wish: every node stays allowed'),
      requiredDuringSchedulingIgnoredDuringExecution: DONE,
    },
  ],
};

/** A pod with a value at a path such as `spec.volumes[0].csi`. */
function podWith(path: string, value: unknown): KubeObject {
  const object = { metadata: { name: 'web' }, spec: { containers: [{ name: 'c' }] } };
  const keys = path.split(/[.[\]]+/).filter(Boolean);
  const last = keys.pop()!;
  // biome-ignore lint/suspicious/noExplicitAny: any path of a pod.
  let at: any = object;
  for (const [i, key] of keys.entries()) {
    at[key] ??= /^\d+$/.test(keys[i + 1] ?? last) ? [] : {};
    at = at[key];
  }
  at[last] = value;
  return object as unknown as KubeObject;
}

const refusalsOf = (object: KubeObject, old?: KubeObject, kind = 'Pod') =>
  validateServed(kind, object, old).map(({ field }) => field);

for (const [model, [at, fates]] of Object.entries(TABLE)) {
  test(`${model}: every field is carried out, without effect, or refused`, () => {
    const fields = attributesOfModel(model)!.map(({ baseName }) => baseName);
    assert.deepEqual(Object.keys(fates).sort(), fields.sort());
  });

  for (const [field, fate] of Object.entries(fates)) {
    if (fate === DONE || 'why' in fate) continue;
    test(`${at}.${field}: ${JSON.stringify(fate.refused)} is refused by name`, () => {
      const path = `${at}.${field}`;
      const errors = validateServed('Pod', podWith(path, fate.refused), undefined);
      assert.deepEqual(
        errors.map((error) => error.field),
        [`${path}${fate.below}`],
      );
      assert.match(errors[0]!.message, /^Forbidden: [^\n]{10,}$/);
    });
  }
}

const FULL = {
  ...{ activeDeadlineSeconds: 60, automountServiceAccountToken: false, hostUsers: true },
  ...{ os: { name: 'linux' }, priorityClassName: 'system-node-critical', hostPID: false },
  imagePullSecrets: [{ name: 's' }],
  securityContext: {
    ...{ runAsUser: 1, runAsGroup: 2, fsGroup: 3, runAsNonRoot: true, sysctls: [] },
    seccompProfile: { type: 'RuntimeDefault' },
  },
  containers: [
    {
      ...{ name: 'c', image: 'pause', stdin: true, tty: true },
      ports: [{ containerPort: 80, hostPort: 0 }],
      resources: { requests: { cpu: '1' }, limits: { cpu: '2' } },
      securityContext: { procMount: 'Default', privileged: false },
      volumeMounts: [{ name: 'v', mountPath: '/v', mountPropagation: 'None' }],
      livenessProbe: { grpc: { port: 1 } },
    },
  ],
  volumes: [
    { name: 'v', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
    { name: 'p', projected: { sources: [{ configMap: { name: 'c' } }] } },
  ],
};

test('a pod with every field that the lab carries out is accepted, with its defaults', () => {
  const pod = { metadata: { name: 'web' }, spec: structuredClone(FULL) } as unknown as KubeObject;
  defaultPod(pod);
  assert.deepEqual(refusalsOf(pod), []);
});

test('a pod with hostNetwork may name host ports', () => {
  const ports = [{ containerPort: 80, hostPort: 80 }];
  const spec = { hostNetwork: true, containers: [{ name: 'c', ports }] };
  assert.deepEqual(refusalsOf({ metadata: { name: 'web' }, spec } as unknown as KubeObject), []);
});

test('templates of every workload and init containers are read', () => {
  const spec = { initContainers: [{ name: 'i', restartPolicyRules: [{}] }], containers: [] };
  const found = SERVED.map(({ kind }) => {
    const template = { spec };
    const inner = kind === 'Pod' ? spec : { template };
    const outer = kind === 'CronJob' ? { jobTemplate: { spec: inner } } : inner;
    const [field] = refusalsOf({ metadata: { name: 'w' }, spec: outer } as never, undefined, kind);
    return field && `${kind} ${field}`;
  });
  assert.deepEqual(found.filter(Boolean), [
    'Pod spec.initContainers[0].restartPolicyRules',
    'Deployment spec.template.spec.initContainers[0].restartPolicyRules',
    'ReplicaSet spec.template.spec.initContainers[0].restartPolicyRules',
    'StatefulSet spec.template.spec.initContainers[0].restartPolicyRules',
    'DaemonSet spec.template.spec.initContainers[0].restartPolicyRules',
    'Job spec.template.spec.initContainers[0].restartPolicyRules',
    'CronJob spec.jobTemplate.spec.template.spec.initContainers[0].restartPolicyRules',
  ]);
});

test('an update that leaves a refused field alone is accepted', () => {
  const old = podWith('spec.hostPID', true);
  const labelled = { ...old, metadata: { ...old.metadata, labels: { a: 'b' } } };
  assert.deepEqual(refusalsOf(labelled, old), []);
  assert.deepEqual(refusalsOf(podWith('spec.hostIPC', true), old), ['spec.hostIPC']);
});
