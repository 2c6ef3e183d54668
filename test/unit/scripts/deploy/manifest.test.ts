import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Command } from 'commander';
import { DaemonSet } from 'kubernetes-models/apps/v1';
import { ClusterRole, ClusterRoleBinding } from 'kubernetes-models/rbac.authorization.k8s.io/v1';
import { ServiceAccount } from 'kubernetes-models/v1';
import { parseAllDocuments } from 'yaml';
import { register } from '../../../../control/cli/agent.ts';
import { MONOTONIC_CLOCK } from '../../../../control/clock.ts';
import { NODE_HEALTH_PORT } from '../../../../control/health/health.ts';
import type { KubeClient } from '../../../../control/kube/client.ts';
import { KINDS, type KubeKind } from '../../../../control/kube/kinds.ts';
import { Tables } from '../../../../control/model/tables.ts';
import { findSite } from '../../../../control/node/site.ts';
import { followCluster } from '../../../../control/sync/informers.ts';
import type { Publisher } from '../../../../control/sync/publisher.ts';
import { RefusalEvents } from '../../../../control/sync/refusal-events.ts';

const PATH = new URL('../../../../scripts/deploy/kubetun.yaml', import.meta.url);
const TEXT = readFileSync(PATH, 'utf8');
const OBJECTS = parseAllDocuments(TEXT).map((document) => {
  assert.deepEqual(document.errors, []);
  return document.toJS() as { kind: string };
});
const objectOf = (kind: string) => OBJECTS.find((object) => object.kind === kind) as never;
const account = new ServiceAccount(objectOf('ServiceAccount'));
const role = new ClusterRole(objectOf('ClusterRole'));
const binding = new ClusterRoleBinding(objectOf('ClusterRoleBinding'));
const daemonSet = new DaemonSet(objectOf('DaemonSet'));
const pod = daemonSet.spec!.template.spec!;
const containers = [...pod.initContainers!, ...pod.containers];

test('every object of the manifest is valid', () => {
  assert.deepEqual(
    OBJECTS.map(({ kind }) => kind),
    ['ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'DaemonSet'],
  );
  for (const object of [account, role, binding, daemonSet]) object.validate();
});

/** Every request that an agent makes, as `verb group/plural`. */
async function requestsOfAgent(): Promise<string[]> {
  const made = new Set<string>();
  const note = (verb: string, kind: KubeKind) => {
    const { apiVersion, plural } = KINDS[kind];
    made.add(`${verb} ${apiVersion === 'v1' ? '' : apiVersion.split('/')[0]}/${plural}`);
  };
  const policy = { metadata: { namespace: 'a', name: 'b' }, spec: { podSelector: {} } };
  const node = {
    metadata: { name: 'n1', resourceVersion: '1' },
    spec: { podCIDR: '10.244.0.0/24' },
    status: { addresses: [{ type: 'InternalIP', address: '192.0.2.11' }] },
  };
  const silent = (verb: string) => {
    return async (kind: KubeKind) => note(verb, kind);
  };
  const client = {
    ...{ create: silent('create'), patch: silent('patch'), delete: silent('delete') },
    async list(kind: KubeKind) {
      note('list', kind);
      const items: Partial<Record<KubeKind, object[]>> = { Node: [node], NetworkPolicy: [policy] };
      return { items: items[kind] ?? [], resourceVersion: '1', continue: '' };
    },
    async get(kind: KubeKind) {
      note('get', kind);
      return { spec: { cidrs: ['fd00::/112', '10.96.0.0/16'] } };
    },
    watch(kind: KubeKind, { signal }: { signal: AbortSignal }) {
      note('watch', kind);
      return new Promise((_, reject) => signal.addEventListener('abort', reject));
    },
  } as unknown as KubeClient;
  const folder = mkdtempSync(join(tmpdir(), 'kubetun-manifest-'));
  const options = { node: 'n1', serviceRange: null, podRanges: [] };
  await findSite(client, options, join(folder, 'site'));
  const publisher = {
    changed() {},
    sourceSynced() {},
    sourceAdded() {},
    sourceStarted() {},
  } as unknown as Publisher;
  const log = { info() {}, warn() {}, error() {} };
  const informers = followCluster(client, new Tables('n1'), publisher, log, 1, () => {});
  const events = new RefusalEvents(client, MONOTONIC_CLOCK, log);
  events.take(
    (['Service', 'NetworkPolicy'] as const).map((kind) => {
      return { kind, key: 'a/b', reason: 'DoesNotFit', message: kind };
    }),
  );
  await new Promise((resolve) => setTimeout(resolve, 20));
  events.stop();
  for (const informer of informers) informer.stop();
  rmSync(folder, { recursive: true });
  return [...made].sort();
}

test('the account has exactly the rights that the agent uses', async () => {
  const allowed = role.rules!.flatMap(({ apiGroups, resources, verbs }) =>
    apiGroups!.flatMap((group) =>
      resources!.flatMap((plural) => verbs.map((verb) => `${verb} ${group}/${plural}`)),
    ),
  );
  assert.deepEqual(allowed.sort(), await requestsOfAgent());
});

test('the binding and the pods refer to the account', () => {
  const { subjects, roleRef } = binding;
  const { metadata } = account;
  assert.equal(subjects![0]!.name, metadata!.name);
  assert.equal(subjects![0]!.namespace, metadata!.namespace);
  assert.equal(roleRef.name, role.metadata!.name);
  assert.equal(pod.serviceAccountName, metadata!.name);
  const { selector, template } = daemonSet.spec!;
  assert.deepEqual(template.metadata!.labels, selector.matchLabels);
});

test('the agent container has one capability and writes only to its mounts', () => {
  const { securityContext } = pod.containers[0]!;
  assert.deepEqual(securityContext!.capabilities, { drop: ['ALL'], add: ['NET_ADMIN'] });
  assert.equal(securityContext!.readOnlyRootFilesystem, true);
  assert.notEqual(securityContext!.privileged, true);
  assert.equal(pod.hostNetwork, true);
});

test('the agent accepts every argument of the manifest', () => {
  const program = new Command().exitOverride();
  register(program);
  const agent = program.commands.find((command) => command.name() === 'agent')!;
  for (const { args } of containers) {
    assert.equal(args![0], 'agent');
    for (const arg of args!.slice(1)) {
      const flag = arg.split('=')[0]!;
      assert.ok(
        agent.options.some(({ long }) => long === flag),
        flag,
      );
    }
  }
});

test('every container has its node name, the TUN device, the memory and the socket folder', () => {
  const volumes = Object.fromEntries(pod.volumes!.map((v) => [v.name, v.hostPath!.path]));
  for (const { env, volumeMounts } of containers) {
    assert.equal(env![0]!.name, 'NODE_NAME');
    assert.equal(env![0]!.valueFrom!.fieldRef!.fieldPath, 'spec.nodeName');
    for (const { name, mountPath } of volumeMounts!) assert.equal(volumes[name], mountPath);
    assert.equal(volumeMounts!.length, 3);
  }
});

test('the probes use the health port and paths of the agent', () => {
  const { readinessProbe, livenessProbe } = pod.containers[0]!;
  assert.deepEqual(
    [readinessProbe, livenessProbe].map((probe) => [probe!.httpGet!.port, probe!.httpGet!.path]),
    [
      [NODE_HEALTH_PORT, '/healthz'],
      [NODE_HEALTH_PORT, '/livez'],
    ],
  );
});
