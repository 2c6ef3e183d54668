// StatefulSets, DaemonSets, Jobs and CronJobs in a real lab with DNS, driven by kubectl.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { stringify } from 'yaml';
import { kubeconfigPath } from '../../lab/places/paths.ts';
import { clientPod, startLab, type TestLab, until } from '../support/lab.ts';
import { findKubectls } from './kubectl/binaries.ts';
import { GARBAGE_PERCENT } from './kubectl/kubectl.ts';

const NAME = 'e2e-work';
const KUBECTL = findKubectls().at(-1)!.path;
let lab: TestLab;
let home: string;

/** Runs kubectl beside the test; fails unless it exits with 0. */
function kubectl(...args: string[]): Promise<string> {
  const all = [`--kubeconfig=${kubeconfigPath(NAME)}`, `--cache-dir=${home}`, ...args];
  const child = spawn(KUBECTL, all, { env: { ...process.env, HOME: home, GOGC: GARBAGE_PERCENT } });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) return resolve(stdout);
      reject(new Error(`kubectl ${args.join(' ')} ended with ${code}: ${stderr || stdout}`));
    });
  });
}

function apply(...objects: object[]): Promise<string> {
  const file = join(home, 'objects.yaml');
  writeFileSync(file, objects.map((object) => stringify(object)).join('---\n'));
  return kubectl('apply', '-f', file);
}

const server = {
  ...{ name: 'main', image: 'agnhost', args: ['netexec', '--http-port=8080'] },
  ports: [{ name: 'http', containerPort: 8080 }],
};
const labelled = (app: string, spec: object) => ({
  selector: { matchLabels: { app } },
  template: {
    metadata: { labels: { app } },
    spec: { terminationGracePeriodSeconds: 0, containers: [server], ...spec },
  },
});
const HEADLESS = {
  ...{ apiVersion: 'v1', kind: 'Service', metadata: { name: 'nginx' } },
  spec: { clusterIP: 'None', selector: { app: 'nginx' }, ports: [{ name: 'web', port: 8080 }] },
};
const WEB = {
  ...{ apiVersion: 'apps/v1', kind: 'StatefulSet', metadata: { name: 'web' } },
  spec: { serviceName: 'nginx', replicas: 2, ...labelled('nginx', {}) },
};

const names = async (app: string) =>
  (await kubectl('get', 'pods', '-l', `app=${app}`, '-o', 'jsonpath={..metadata.name}'))
    .split(' ')
    .filter(Boolean)
    .sort();
const rolledOut = (what: string) => kubectl('rollout', 'status', what, '--timeout=60s');
const variable = (pod: string) =>
  kubectl('get', 'pod', pod, '-o', 'jsonpath={.spec.containers[0].env[0].value}');

describe('workloads', () => {
  before(async () => {
    home = mkdtempSync(join(tmpdir(), 'kubetun-kubectl-'));
    lab = startLab(NAME, [clientPod('client', 'node1')], { dns: true });
    // The last test checks this CronJob. Its minute passes during the other tests.
    const schedule = '--schedule=*/1 * * * *';
    await kubectl('create', 'cronjob', 'tick', '--image=busybox', schedule, '--', 'echo', 'tick');
  });
  after(async () => {
    await lab.down();
    rmSync(home, { recursive: true });
  });

  test('a StatefulSet starts its pods in order, each with a name that other pods resolve', async () => {
    await apply(HEADLESS, WEB);
    await rolledOut('statefulset/web');
    assert.deepEqual(await names('nginx'), ['web-0', 'web-1']);
    const made = await kubectl('get', 'pods', '-l', 'app=nginx', '-o', 'json');
    const [first, second] = JSON.parse(made).items.map(
      (p: { metadata: object; status: object }) => p,
    );
    const ready = first.status.conditions.find((c: { type: string }) => c.type === 'Ready');
    assert.ok(
      Date.parse(second.metadata.creationTimestamp) >= Date.parse(ready.lastTransitionTime),
      'web-1 starts when web-0 is ready',
    );
    for (const name of ['web-0', 'web-1']) {
      const url = `http://${name}.nginx:8080/hostname`;
      await until(`${name} answers by name`, async () => {
        const said = await lab.run('client', 'curl', '-s', '-m', '2', url).catch(() => '');
        return said.trim() === name;
      });
    }
  });

  test('a StatefulSet scales, keeps names across deletions, and updates above its partition', async () => {
    await kubectl('scale', 'sts', 'web', '--replicas=4');
    await rolledOut('statefulset/web');
    assert.deepEqual(await names('nginx'), ['web-0', 'web-1', 'web-2', 'web-3']);
    await kubectl('delete', 'pod', 'web-1');
    await rolledOut('statefulset/web');
    await kubectl('scale', 'sts', 'web', '--replicas=3');
    await until('web-3 is gone', async () => (await names('nginx')).length === 3);
    const partition = { spec: { updateStrategy: { rollingUpdate: { partition: 2 } } } };
    await kubectl('patch', 'sts', 'web', '-p', JSON.stringify(partition));
    await kubectl('set', 'env', 'sts/web', 'VERSION=2');
    await rolledOut('statefulset/web');
    assert.deepEqual(await Promise.all([0, 1, 2].map((i) => variable(`web-${i}`))), ['', '', '2']);
    partition.spec.updateStrategy.rollingUpdate.partition = 0;
    await kubectl('patch', 'sts', 'web', '-p', JSON.stringify(partition));
    await rolledOut('statefulset/web');
    assert.deepEqual(await Promise.all([0, 1, 2].map((i) => variable(`web-${i}`))), [
      '2',
      '2',
      '2',
    ]);
  });

  test('a StatefulSet goes back to its last revision', async () => {
    const history = await kubectl('rollout', 'history', 'sts/web');
    assert.match(history, /^1 .*\n2 /m);
    assert.match(await kubectl('rollout', 'undo', 'sts/web'), /rolled back/);
    await rolledOut('statefulset/web');
    assert.equal(await variable('web-0'), '');
    const row = (await kubectl('get', 'sts', 'web', '--no-headers')).split(/\s+/);
    assert.deepEqual(row.slice(0, 2), ['web', '3/3']);
    assert.match(
      await kubectl('describe', 'sts', 'web'),
      /SuccessfulCreate\s.*create Pod web-0 in StatefulSet web successful/,
    );
    await kubectl('delete', 'sts', 'web');
    await until('its pods are gone', async () => (await names('nginx')).length === 0);
  });

  test('the claims of a StatefulSet keep its files, and outlive it', async () => {
    const requests = { storage: '1Mi' };
    const mounted = { ...server, volumeMounts: [{ name: 'data', mountPath: '/data' }] };
    const set = {
      ...{ apiVersion: 'apps/v1', kind: 'StatefulSet', metadata: { name: 'db' } },
      spec: {
        ...{ serviceName: 'db', replicas: 2, ...labelled('db', { containers: [mounted] }) },
        volumeClaimTemplates: [
          {
            metadata: { name: 'data' },
            spec: { accessModes: ['ReadWriteOnce'], resources: { requests } },
          },
        ],
      },
    };
    const run = (pod: string, line: string) => kubectl('exec', pod, '--', 'sh', '-c', line);
    await apply(set);
    await rolledOut('sts/db');
    for (const pod of ['db-0', 'db-1']) await run(pod, `hostname >/data/who`);
    await kubectl('delete', 'pod', 'db-1');
    await rolledOut('sts/db');
    assert.equal(await run('db-1', 'cat /data/who'), 'db-1\n');
    await kubectl('delete', 'sts', 'db');
    await until('its pods are gone', async () => (await names('db')).length === 0);
    const claim = (await kubectl('get', 'pvc', 'data-db-0', '--no-headers')).split(/\s+/);
    assert.equal(claim[1], 'Bound');
    await apply(set);
    await rolledOut('sts/db');
    assert.equal(await run('db-0', 'cat /data/who'), 'db-0\n');
    // A claim in use stays until its pod is gone.
    await kubectl('delete', 'pvc', 'data-db-0', '--wait=false');
    const used = (await kubectl('get', 'pvc', 'data-db-0', '--no-headers')).split(/\s+/);
    assert.equal(used[1], 'Terminating');
    await kubectl('delete', 'sts', 'db');
    await kubectl('delete', 'pvc', '--all');
    await until(
      'the volumes are gone',
      async () => (await kubectl('get', 'pv', '-o', 'name')) === '',
    );
  });

  test('a pod waits for its claim, and gets the path that a volume names', async () => {
    const path = join(home, 'disk');
    mkdirSync(path);
    writeFileSync(join(path, 'index.html'), 'from the machine');
    const modes = { accessModes: ['ReadWriteOnce'], storageClassName: 'manual' };
    const mounted = { ...server, volumeMounts: [{ name: 'data', mountPath: '/data' }] };
    const volumes = [{ name: 'data', persistentVolumeClaim: { claimName: 'mine' } }];
    const spec = { terminationGracePeriodSeconds: 0, containers: [mounted], volumes };
    await apply({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'reader' }, spec });
    await until('the pod says what it waits for', async () =>
      (await kubectl('describe', 'pod', 'reader')).includes('"mine" not found'),
    );
    const requests = { storage: '1Mi' };
    await apply(
      {
        ...{ apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name: 'disk' } },
        spec: { ...modes, capacity: requests, hostPath: { path } },
      },
      {
        ...{ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'mine' } },
        spec: { ...modes, resources: { requests } },
      },
    );
    await kubectl('wait', '--for=condition=Ready', 'pod/reader', '--timeout=60s');
    const run = (line: string) => kubectl('exec', 'reader', '--', 'sh', '-c', line);
    assert.equal(await run('cat /data/index.html'), 'from the machine');
    await run('echo written >/data/new');
    assert.equal(readFileSync(join(path, 'new'), 'utf8'), 'written\n');
    await kubectl('delete', 'pod/reader', 'pvc/mine', 'pv/disk');
  });

  test('a DaemonSet has a pod on each node that its selector chooses', async () => {
    await apply({
      ...{ apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name: 'each' } },
      spec: labelled('each', { nodeSelector: { disk: 'ssd' } }),
    });
    const nodes = async () =>
      (await kubectl('get', 'pods', '-l', 'app=each', '-o', 'jsonpath={..nodeName}'))
        .split(' ')
        .filter(Boolean)
        .sort();
    assert.deepEqual(await nodes(), []);
    await kubectl('label', 'node', 'node1', 'node2', 'disk=ssd');
    await until('both nodes have one', async () => (await nodes()).length === 2);
    await rolledOut('ds/each');
    assert.deepEqual(await nodes(), ['node1', 'node2']);
    await kubectl('set', 'env', 'ds/each', 'VERSION=2');
    await rolledOut('ds/each');
    for (const name of await names('each')) assert.equal(await variable(name), '2');
    await kubectl('rollout', 'undo', 'ds/each');
    await rolledOut('ds/each');
    const row = (await kubectl('get', 'ds', 'each', '--no-headers')).split(/\s+/);
    assert.deepEqual(row.slice(0, 7), ['each', '2', '2', '2', '2', '2', 'disk=ssd']);
    await kubectl('label', 'node', 'node2', 'disk-');
    await until('node2 has none', async () => (await nodes()).join() === 'node1');
    await kubectl('delete', 'ds', 'each');
  });

  /** A Job whose pods run a line of the shell. */
  const jobOf = (name: string, line: string, spec: object = {}) => ({
    ...{ apiVersion: 'batch/v1', kind: 'Job', metadata: { name } },
    spec: {
      ...spec,
      template: {
        spec: {
          ...{ restartPolicy: 'Never', terminationGracePeriodSeconds: 0 },
          containers: [{ name: 'main', image: 'busybox', command: ['sh', '-c', line] }],
        },
      },
    },
  });
  const statusOf = async (name: string) =>
    JSON.parse(await kubectl('get', 'job', name, '-o', 'json')).status;

  test('a Job runs each index to its end, and counts the pods that failed', async () => {
    const shared = { completions: 3, parallelism: 2, completionMode: 'Indexed', backoffLimit: 0 };
    await apply(jobOf('indexed', '[ $JOB_COMPLETION_INDEX != 2 ] || { sleep 3; exit 1; }', shared));
    await kubectl('wait', '--for=condition=Failed', 'job/indexed', '--timeout=60s');
    const status = await statusOf('indexed');
    assert.deepEqual([status.completedIndexes, status.succeeded, status.failed], ['0,1', 2, 1]);
    await kubectl('delete', 'job', 'indexed');
    await until('its pods are gone', async () => {
      const left = await kubectl('get', 'pods', '-l', 'job-name=indexed', '-o', 'name');
      return left === '';
    });
  });

  test('a Job is complete, and kubectl reads its log', async () => {
    await kubectl('create', 'job', 'hello', '--image=busybox', '--', 'echo', 'hello from a job');
    await kubectl('wait', '--for=condition=Complete', 'job/hello', '--timeout=60s');
    assert.equal(await kubectl('logs', 'job/hello'), 'hello from a job\n');
    const row = (await kubectl('get', 'job', 'hello', '--no-headers')).split(/\s+/);
    assert.deepEqual(row.slice(0, 3), ['hello', 'Complete', '1/1']);
    assert.match(await kubectl('describe', 'job', 'hello'), /Completed\s.*Job completed/);
  });

  test('a Job ends by its podFailurePolicy and by its deadline', async () => {
    const rule = { action: 'FailJob', onExitCodes: { operator: 'In', values: [42] } };
    await apply(
      jobOf('policy', 'exit 42', { podFailurePolicy: { rules: [rule] } }),
      jobOf('slow', 'sleep 1000', { activeDeadlineSeconds: 1 }),
    );
    for (const [name, reason] of [
      ['policy', 'PodFailurePolicy'],
      ['slow', 'DeadlineExceeded'],
    ] as const) {
      await kubectl('wait', '--for=condition=Failed', `job/${name}`, '--timeout=60s');
      const { conditions } = await statusOf(name);
      assert.equal(conditions.find((c: { type: string }) => c.type === 'Failed').reason, reason);
    }
  });

  test('a CronJob creates Jobs by its schedule and on request', async () => {
    await kubectl('create', 'job', 'by-hand', '--from=cronjob/tick');
    await kubectl('wait', '--for=condition=Complete', 'job/by-hand', '--timeout=60s');
    const jobs = async () => {
      const { items } = JSON.parse(await kubectl('get', 'jobs', '-o', 'json'));
      return items
        .map(({ metadata }: { metadata: { name: string } }) => metadata.name)
        .filter((name: string) => name.startsWith('tick-'));
    };
    await until('a minute begins', async () => (await jobs()).length > 0, 90_000);
    const [first] = await jobs();
    await kubectl('wait', '--for=condition=Complete', `job/${first}`, '--timeout=60s');
    assert.equal(await kubectl('logs', `job/${first}`), 'tick\n');
    assert.match(
      await kubectl('describe', 'cronjob', 'tick'),
      /SuccessfulCreate\s.*Created job tick-/,
    );
    await kubectl('delete', 'cronjob', 'tick');
    await until('its jobs are gone', async () => (await jobs()).length === 0);
  });
});
