// Deployments in a real lab, driven by kubectl.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { kubeconfigPath } from '../../lab/places/paths.ts';
import { readAgent } from '../../lab/supervisor/agents.ts';
import { clientPod, serviceObject, startLab, type TestLab, until } from '../support/lab.ts';
import { findKubectls } from './kubectl/binaries.ts';
import { GARBAGE_PERCENT } from './kubectl/kubectl.ts';

const NAME = 'e2e-depl';
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

const WEB = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', labels: { app: 'web' } },
  spec: {
    replicas: 4,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: {
        terminationGracePeriodSeconds: 0,
        containers: [
          {
            name: 'main',
            image: 'agnhost',
            args: ['netexec', '--http-port=8080'],
            ports: [{ name: 'http', containerPort: 8080 }],
          },
        ],
      },
    },
  },
};

describe('a Deployment', () => {
  before(() => {
    home = mkdtempSync(join(tmpdir(), 'kubetun-kubectl-'));
    const ports = [{ port: 80, targetPort: 'http' }];
    const service = serviceObject('web', { selector: { app: 'web' }, ports });
    lab = startLab(NAME, [clientPod('client', 'node1'), service, WEB]);
  });
  after(async () => {
    await lab.down();
    rmSync(home, { recursive: true });
  });

  const read = () => lab.kube.get('Deployment', { namespace: 'default', name: 'web' });
  const pods = async () =>
    (await kubectl('get', 'pods', '-l', 'app=web', '-o', 'name')).trim().split('\n').sort();
  const rolledOut = () => kubectl('rollout', 'status', 'deployment/web', '--timeout=30s');

  test('gets its pods, on both nodes, and kubectl waits for them', async () => {
    assert.match(await rolledOut(), /deployment "web" successfully rolled out\n$/);
    await kubectl('wait', '--for=condition=Available', 'deployment/web', '--timeout=20s');
    const nodes = await kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={..nodeName}');
    assert.deepEqual(nodes.split(' ').sort(), ['node1', 'node1', 'node2', 'node2']);
    await lab.untilEndpoints('default/web:80', 4);
    const row = (await kubectl('get', 'deployment', 'web', '--no-headers')).split(/\s+/);
    assert.deepEqual(row.slice(0, 4), ['web', '4/4', '4', '4']);
  });

  test('rolls to another template and back', async () => {
    const first = await pods();
    await kubectl('set', 'env', 'deployment/web', 'VERSION=2');
    await rolledOut();
    const second = await pods();
    assert.equal(second.length, 4);
    assert.ok(second.every((name) => !first.includes(name)));
    const history = await kubectl('rollout', 'history', 'deployment/web');
    assert.match(history, /^1 .*\n2 /m);
    assert.match(await kubectl('rollout', 'undo', 'deployment/web'), /rolled back/);
    await rolledOut();
    const third = await pods();
    // The same ReplicaSet, and so the same hash in the names.
    const hashOf = (name: string) => name.split('-').at(-2);
    assert.equal(hashOf(third[0]!), hashOf(first[0]!));
    assert.notEqual(hashOf(second[0]!), hashOf(first[0]!));
    const sets = await kubectl('get', 'replicasets', '-o', 'name');
    assert.equal(sets.trim().split('\n').length, 2);
    const { metadata } = await read();
    assert.equal(metadata?.annotations?.['deployment.kubernetes.io/revision'], '3');
  });

  test('scales to ten and to one, and its Service follows', async () => {
    await kubectl('scale', 'deployment/web', '--replicas=1', '--current-replicas=4');
    await lab.untilEndpoints('default/web:80', 1);
    await assert.rejects(
      kubectl('scale', 'deployment/web', '--replicas=2', '--current-replicas=4'),
      /expected .*replicas to be 4/i,
    );
    await kubectl('scale', 'deployment/web', '--replicas=10');
    await rolledOut();
    await lab.untilEndpoints('default/web:80', 10);
    const address = await lab.clusterIP('web');
    const names = new Set<string>();
    for (let i = 0; i < 20; i++) {
      names.add(await lab.run('client', 'curl', '-sf', '-m', '2', `http://${address}/hostname`));
    }
    assert.ok(names.size > 3, 'several pods answer');
    await kubectl('scale', 'deployment/web', '--replicas=1');
    await lab.untilEndpoints('default/web:80', 1);
    await until('one pod is left', async () => (await pods()).length === 1);
  });

  test('replaces a deleted pod and reports it', async () => {
    const [only] = await pods();
    await kubectl('delete', only!);
    await rolledOut();
    const [next] = await pods();
    assert.notEqual(next, only);
    const said = await kubectl('describe', 'deployment', 'web');
    assert.match(said, /ScalingReplicaSet\s.*Scaled up replica set web-\w+ from 1 to 10/);
    assert.match(said, /NewReplicaSet:\s+web-\w+ \(1\/1 replicas created\)/);
  });

  test("keeps a node's endpoints in a short absence of its agent, not in a long one", async () => {
    await kubectl('scale', 'deployment/web', '--replicas=4');
    await lab.untilEndpoints('default/web:80', 4);
    const agent = readAgent(NAME, 'node2')!;
    const condition = (name: string) =>
      kubectl(
        'get',
        'node',
        name,
        '-o',
        'jsonpath={.status.conditions[?(@.type=="Ready")].status}',
      );
    process.kill(agent.pid, 'SIGSTOP');
    try {
      await new Promise((resolve) => setTimeout(resolve, 5000));
      await lab.untilEndpoints('default/web:80', 4, ['node1']);
      await lab.untilEndpoints('default/web:80', 2, ['node1']);
      assert.equal(await condition('node2'), 'Unknown');
      assert.equal(await condition('node1'), 'True');
    } finally {
      process.kill(agent.pid, 'SIGCONT');
    }
    await lab.untilEndpoints('default/web:80', 4);
    assert.equal(await condition('node2'), 'True');
  });

  test('leaves a drained or tainted node, and returns to it', async () => {
    const nodes = async () => {
      const text = await kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={..nodeName}');
      return new Set(text.split(' '));
    };
    const restart = async () => {
      await kubectl('rollout', 'restart', 'deployment/web');
      await rolledOut();
      return [...(await nodes())].sort();
    };
    await kubectl('drain', 'node2', '--timeout=20s');
    await rolledOut();
    assert.deepEqual([...(await nodes())], ['node1']);
    await kubectl('uncordon', 'node2');
    assert.deepEqual(await restart(), ['node1', 'node2']);
    await kubectl('taint', 'node', 'node1', 'broken=yes:NoExecute');
    await rolledOut();
    await until('no pod is left on node1', async () => !(await nodes()).has('node1'));
    await kubectl('taint', 'node', 'node1', 'broken-');
    assert.deepEqual(await restart(), ['node1', 'node2']);
  });

  test('deletes all its objects with it', async () => {
    await kubectl('delete', 'deployment', 'web');
    await until('nothing is left', async () => {
      const left = await kubectl('get', 'replicasets,pods', '-l', 'app=web', '-o', 'name');
      return left.trim() === '';
    });
    await lab.untilEndpoints('default/web:80', 0);
  });
});
