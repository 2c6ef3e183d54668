// One round of common kubectl commands, with every kubectl of the machine. Any output on stderr
// that upstream would not print fails it.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { kubeconfigPath } from '../../../lab/places/paths.ts';
import { startLab, type TestLab, until } from '../../support/lab.ts';
import { type Binary, findKubectls } from './binaries.ts';
import { Kubectl, ROUNDS_AT_ONCE } from './kubectl.ts';
import { config, talker, webDeployment, webService } from './objects.ts';

const NAME = 'e2e-kctl';
/** From this version on `exec` and `port-forward` use WebSocket by default. */
const MINOR_EXEC = 30;
const MINOR_FORWARD = 31;
/** Older ones, as Debian's, run the basic tests only. */
const MINOR_WHOLE = 27;

const kubectls = findKubectls();
let lab: TestLab;

test('there is a kubectl to test', (t) => {
  t.diagnostic(`kubectl ${kubectls.map(({ version }) => version).join(', ')}`);
  assert.ok(kubectls.length > 0);
});

describe('kubectl', { concurrency: ROUNDS_AT_ONCE }, () => {
  before(() => {
    lab = startLab(NAME, [config('lab', { a: 'b' })]);
  });
  after(() => lab.down());
  for (const binary of kubectls) describe(binary.version, { concurrency: 1 }, () => round(binary));
});

function round(binary: Binary): void {
  const kubectl = new Kubectl(binary, kubeconfigPath(NAME));
  const { namespace, minor } = kubectl;
  const folder = mkdtempSync(join(tmpdir(), 'kubetun-round-'));
  const ok = (...args: string[]) => kubectl.ok(args);
  after(() => {
    kubectl.close();
    rmSync(folder, { recursive: true });
  });

  test('apply creates objects and reports it', async () => {
    const space = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };
    assert.equal(
      await kubectl.ok(['apply', '-f', '-'], [space]),
      `namespace/${namespace} created\n`,
    );
    const objects = [webDeployment(), webService(), config('conf', { key: 'value' }), talker()];
    const said = await kubectl.ok(['apply', '-f', '-'], objects);
    assert.deepEqual(said.trim().split('\n'), [
      'deployment.apps/web created',
      'service/web created',
      'configmap/conf created',
      'pod/talker created',
    ]);
  });

  test('wait --for=condition and rollout status return when the condition holds', async () => {
    await ok('wait', '--for=condition=Ready', 'pod/talker', '--timeout=30s');
    assert.match(
      await ok('rollout', 'status', 'deployment/web', '--timeout=30s'),
      /deployment "web" successfully rolled out/,
    );
    assert.match(
      await ok('wait', '--for=condition=Available', 'deployment/web', '--timeout=20s'),
      /deployment.apps\/web condition met/,
    );
  });

  test('apply of the same object changes nothing, of a changed object updates it', async () => {
    assert.equal(
      await kubectl.ok(['apply', '-f', '-'], [webDeployment(), config('conf', { key: 'other' })]),
      'deployment.apps/web unchanged\nconfigmap/conf configured\n',
    );
  });

  test('get -o wide has the usual columns', async () => {
    const [head, ...rows] = (await ok('get', 'pods', '-o', 'wide')).trim().split('\n');
    assert.deepEqual(head!.split(/\s{2,}/), [
      ...['NAME', 'READY', 'STATUS', 'RESTARTS', 'AGE', 'IP', 'NODE', 'NOMINATED NODE'],
      'READINESS GATES',
    ]);
    assert.equal(rows.length, 3);
    for (const row of rows)
      assert.match(row, /1\/1\s+Running\s+0\s+\d+s\s+10\.244\.\d+\.\d+\s+node\d/);
    const columns = async (...args: string[]) =>
      (await ok('get', ...args)).split('\n')[0]!.split(/\s{2,}/);
    assert.deepEqual((await columns('svc')).slice(0, 5), [
      ...['NAME', 'TYPE', 'CLUSTER-IP', 'EXTERNAL-IP', 'PORT(S)'],
    ]);
    assert.deepEqual(await columns('deploy'), ['NAME', 'READY', 'UP-TO-DATE', 'AVAILABLE', 'AGE']);
    assert.deepEqual(await columns('rs'), ['NAME', 'DESIRED', 'CURRENT', 'READY', 'AGE']);
    assert.deepEqual((await columns('nodes')).slice(0, 5), [
      'NAME',
      'STATUS',
      'ROLES',
      'AGE',
      'VERSION',
    ]);
    assert.match(await ok('get', 'endpointslices'), /web-\w+\s+IPv4\s+8080\s+10\.244/);
    assert.match(
      await ok('get', 'all'),
      /pod\/talker[\s\S]*service\/web[\s\S]*deployment.apps\/web/,
    );
  });

  if (minor < MINOR_WHOLE) {
    test('get -w shows changes, and delete waits until the object is gone', async () => {
      await watchAndDelete(kubectl);
    });
    return;
  }

  test('get -o yaml, json, jsonpath, name, custom-columns, -A, selectors, sorting', async () => {
    assert.match(
      await ok('get', 'deploy', 'web', '-o', 'yaml'),
      /^apiVersion: apps\/v1\nkind: Deployment\n/,
    );
    const list = JSON.parse(await ok('get', 'pods', '-o', 'json')) as {
      kind: string;
      items: object[];
    };
    assert.deepEqual([list.kind, list.items.length], ['List', 3]);
    assert.equal(await ok('get', 'cm', 'conf', '-o', 'jsonpath={.data.key}'), 'other');
    assert.equal(await ok('get', 'pod', 'talker', '-o', 'name'), 'pod/talker\n');
    assert.match(
      await ok('get', 'svc', '-o', 'custom-columns=WHO:.metadata.name,PORT:.spec.ports[0].name'),
      /^WHO\s+PORT\nweb\s+http\n$/,
    );
    assert.match(await ok('get', 'svc', '-A'), /default\s+kubernetes\s+ClusterIP/);
    assert.equal(
      (await ok('get', 'pods', '-l', 'app=web', '-o', 'name')).trim().split('\n').length,
      2,
    );
    assert.equal((await ok('get', 'pods', '-l', 'app in (x,y),!z', '-o', 'name')).trim(), '');
    const byField = await ok(
      'get',
      'pods',
      '--field-selector',
      'metadata.name=talker',
      '-o',
      'name',
    );
    assert.equal(byField, 'pod/talker\n');
    assert.match(
      await ok('get', 'pods', '--show-labels', '--sort-by=.metadata.name'),
      /role=talker/,
    );
    assert.match(await ok('get', 'pods', '--chunk-size=1'), /talker/);
  });

  test('label, annotate, patch of each type, replace, edit', async () => {
    const data = () => ok('get', 'cm', 'conf', '-o', 'jsonpath={.data}');
    await ok('label', 'cm', 'conf', 'tier=one');
    await ok('label', 'cm', 'conf', 'tier=two', '--overwrite');
    await ok('annotate', 'cm', 'conf', 'note=x');
    assert.match(await ok('get', 'cm', '-l', 'tier=two', '-o', 'name'), /conf/);
    await ok('label', 'cm', 'conf', 'tier-');
    await ok('patch', 'cm', 'conf', '--type=merge', '-p', '{"data":{"merge":"1"}}');
    await ok(
      'patch',
      'cm',
      'conf',
      '--type=json',
      '-p',
      '[{"op":"add","path":"/data/json","value":"2"}]',
    );
    await ok('patch', 'cm', 'conf', '--type=strategic', '-p', '{"data":{"strategic":"3"}}');
    assert.deepEqual(JSON.parse(await data()), {
      key: 'other',
      merge: '1',
      json: '2',
      strategic: '3',
    });
    await kubectl.ok(['replace', '-f', '-'], [config('conf', { key: 'replaced' })]);
    const editor = { KUBE_EDITOR: 'sed -i s/replaced/edited/' };
    assert.match(await kubectl.ok(['edit', 'cm', 'conf'], '', editor), /configmap\/conf edited/);
    assert.deepEqual(JSON.parse(await data()), { key: 'edited' });
  });

  test('apply --server-side owns what it applies, and conflicts with other managers', async () => {
    const apply = (manager: string, value: string, ...more: string[]) =>
      kubectl.run(
        ['apply', '--server-side', '--field-manager', manager, '-f', '-', ...more],
        [config('owned', { key: value })],
      );
    const first = await apply('one', 'a');
    assert.deepEqual(first, {
      code: 0,
      stdout: 'configmap/owned serverside-applied\n',
      stderr: '',
    });
    const other = await apply('two', 'b');
    assert.equal(other.code, 1);
    assert.match(other.stderr, /Apply failed with 1 conflict: conflict with "one": .data.key/);
    assert.equal((await apply('two', 'b', '--force-conflicts')).code, 0);
    assert.equal(await ok('get', 'cm', 'owned', '-o', 'jsonpath={.data.key}'), 'b');
    assert.match(
      await ok('get', 'cm', 'owned', '-o', 'yaml', '--show-managed-fields'),
      /manager: two/,
    );
  });

  test('create has a generator for each kind that users create by hand', async () => {
    await ok('create', 'configmap', 'made', '--from-literal=a=b');
    await ok('create', 'secret', 'generic', 'made', '--from-literal=password=x');
    await ok('create', 'serviceaccount', 'made');
    await ok('create', 'service', 'clusterip', 'made', '--tcp=80:8080');
    await ok('create', 'deployment', 'made', '--image=pause', '--replicas=1');
    await ok('create', 'namespace', `${namespace}-made`);
    assert.equal(await ok('get', 'secret', 'made', '-o', 'jsonpath={.data.password}'), 'eA==');
    assert.match(
      await ok('create', 'deployment', 'x', '--image=some', '--dry-run=client', '-o', 'yaml'),
      /image: some/,
    );
    const twice = await kubectl.run(['create', 'configmap', 'made']);
    assert.equal(
      twice.stderr,
      'error: failed to create configmap: configmaps "made" already exists\n',
    );
    await ok('delete', 'deployment,service,configmap,secret,sa', 'made');
    await ok('delete', 'namespace', `${namespace}-made`);
  });

  test('diff and dry-run=server show the result and change nothing', async () => {
    const same = await kubectl.run(['diff', '-f', '-'], [webService()]);
    assert.deepEqual([same.code, same.stderr], [0, '']);
    const { code, stdout, stderr } = await kubectl.run(['diff', '-f', '-'], [webDeployment(5)]);
    assert.deepEqual([code, stderr], [1, '']);
    assert.match(stdout, /^-\s+replicas: 2\n\+\s+replicas: 5$/m);
    assert.match(
      await kubectl.ok(['apply', '--dry-run=server', '-f', '-'], [webDeployment(5)]),
      /deployment.apps\/web configured \(server dry run\)/,
    );
    assert.equal(await ok('get', 'deploy', 'web', '-o', 'jsonpath={.spec.replicas}'), '2');
  });

  test("wrong input is refused with upstream's message", async () => {
    const wrong = { ...config('wrong', {}), spec: { x: 1 } };
    const unknown = await kubectl.run(['apply', '-f', '-'], [wrong]);
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /unknown field "spec"/);
    const service = { ...webService('Bad_Name') };
    const named = await kubectl.run(['apply', '-f', '-'], [service]);
    assert.match(
      named.stderr,
      /The Service "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name"/,
    );
    const absent = await kubectl.run(['get', 'pod', 'nobody']);
    assert.equal(absent.stderr, 'Error from server (NotFound): pods "nobody" not found\n');
  });

  test('scale, rollout history, undo, restart, pause and resume', async () => {
    const status = () => ok('rollout', 'status', 'deployment/web', '--timeout=40s');
    const envOf = () =>
      ok('get', 'deploy', 'web', '-o', 'jsonpath={.spec.template.spec.containers[0].env[0].value}');
    assert.equal(
      await ok('scale', 'deployment/web', '--replicas=3'),
      'deployment.apps/web scaled\n',
    );
    await status();
    assert.match(await ok('get', 'deploy', 'web'), /web\s+3\/3\s+3\s+3/);
    await ok('set', 'env', 'deployment/web', 'COLOUR=red');
    await status();
    assert.equal(await envOf(), 'red');
    assert.match(await ok('rollout', 'history', 'deployment/web'), /REVISION[\s\S]*1\s[\s\S]*2\s/);
    assert.match(await ok('rollout', 'undo', 'deployment/web'), /deployment.apps\/web rolled back/);
    await status();
    assert.equal(await envOf(), '');
    await ok('rollout', 'pause', 'deployment/web');
    await ok('rollout', 'resume', 'deployment/web');
    await ok('rollout', 'restart', 'deployment/web');
    await status();
    await ok('scale', 'deployment/web', '--replicas=1', '--current-replicas=3');
    await status();
  });

  test('expose and run make a Service and a pod', async () => {
    await ok('expose', 'deployment', 'web', '--port=81', '--target-port=http', '--name=again');
    await ok('run', 'runner', '--image=pause', '--restart=Never');
    await ok('wait', '--for=condition=Ready', 'pod/runner', '--timeout=30s');
    await until('the new Service has endpoints', async () => {
      const slices = ['get', 'endpointslices', '-l', 'kubernetes.io/service-name=again'];
      return /10\.244/.test((await kubectl.run(slices)).stdout);
    });
  });

  test('describe works for services, pods, nodes, slices, deployments', async () => {
    assert.match(await ok('describe', 'svc', 'web'), /Endpoints:\s+10\.244\.\d+\.\d+:8080/);
    const pod = await ok('describe', 'pod', 'talker');
    assert.match(pod, /State:\s+Running/);
    assert.match(pod, /Normal\s+Scheduled\s.*Successfully assigned/);
    assert.match(pod, /Normal\s+Started\s/);
    const node = await ok('describe', 'node', 'node1');
    assert.match(node, /PodCIDR:\s+10\.244\.1\.0\/24/);
    assert.match(node, /Ready\s+True/);
    assert.match(await ok('describe', 'endpointslice', '-l', 'app=web'), /Ready:\s+true/);
    assert.match(await ok('describe', 'deployment', 'web'), /StrategyType:\s+RollingUpdate/);
    assert.match(await ok('describe', 'rs', '-l', 'app=web'), /Controlled By:\s+Deployment\/web/);
    assert.match(await ok('describe', 'ns', namespace), /Status:\s+Active/);
  });

  test('events are listed', async () => {
    const field = ['--field-selector', 'involvedObject.name=talker'];
    const events = await ok('get', 'events', ...field);
    for (const reason of ['Scheduled', 'Pulled', 'Created', 'Started'])
      assert.match(events, new RegExp(reason));
    assert.match(await ok('events', '--for', 'pod/talker'), /Scheduled/);
    assert.match(
      await ok('get', 'events', '--field-selector', 'reason=ScalingReplicaSet'),
      /Scaled up/,
    );
  });

  test('api-resources, api-versions, version, cluster-info, explain', async () => {
    const resources = await ok('api-resources');
    for (const name of ['pods', 'deployments', 'endpointslices', 'networkpolicies', 'leases']) {
      assert.match(resources, new RegExp(`^${name}\\s`, 'm'));
    }
    assert.match(await ok('api-versions'), /^apps\/v1$/m);
    assert.match((await kubectl.run(['version'])).stdout, /Server Version: .*v1\.\d+/);
    assert.match(await ok('cluster-info'), /127\.0\.0\.1/);
    assert.match(await ok('explain', 'pod.spec.containers'), /image/);
    assert.match(await ok('explain', 'deployment.spec'), /replicas/);
  });

  test('logs of one pod and of many', async () => {
    assert.equal(await ok('logs', 'talker'), 'first\nsecond\n');
    assert.equal(await ok('logs', 'talker', '--tail=1'), 'second\n');
    assert.equal(await ok('logs', '-l', 'role=talker', '--tail=1'), 'second\n');
    const following = kubectl.start(['logs', '-f', 'talker']);
    await until('it follows', () => following.output().includes('second'));
    assert.equal(following.output(), 'first\nsecond\n');
    await following.stop();
    const none = await kubectl.run(['logs', 'talker', '-c', 'nobody']);
    assert.match(none.stderr, /container nobody is not valid for pod talker/);
  });

  test('exec runs a command, with input and an exit code', async () => {
    if (minor < MINOR_EXEC) {
      const { code, stderr } = await kubectl.run(['exec', 'talker', '--', 'hostname']);
      assert.notEqual(code, 0);
      assert.match(stderr, /WebSocket/);
      assert.equal(stderr.trim().split('\n').length, 1, stderr);
      return;
    }
    assert.equal(await ok('exec', 'talker', '--', 'hostname'), 'talker\n');
    assert.equal(await kubectl.ok(['exec', '-i', 'talker', '--', 'cat'], 'a line'), 'a line');
    const failed = await kubectl.run(['exec', 'talker', '--', 'sh', '-c', 'echo no >&2; exit 7']);
    assert.equal(failed.code, 7);
    assert.match(failed.stderr, /^no\ncommand terminated with exit code 7\n$/);
    const file = join(folder, 'file');
    writeFileSync(file, 'copied');
    await ok('cp', file, `${namespace}/talker:/tmp/file`);
    assert.equal(await ok('exec', 'talker', '--', 'cat', '/tmp/file'), 'copied');
  });

  test('port-forward brings a Service to loopback, by the name of its port', async () => {
    const forward = kubectl.start(['port-forward', 'svc/web', ':http']);
    if (minor < MINOR_FORWARD) {
      await until('it has ended', () => forward.child.exitCode !== null);
      assert.match(forward.output(), /WebSocket/);
      return;
    }
    await until('it listens', () => forward.output().includes('Forwarding from 127.0.0.1'));
    const port = /127\.0\.0\.1:(\d+)/.exec(forward.output())![1];
    for (let i = 0; i < 3; i++) {
      const answer = await fetch(`http://127.0.0.1:${port}/hostname`);
      assert.match(await answer.text(), /^web-/);
    }
    await forward.stop();
  });

  test('get -w shows changes, and delete waits until the object is gone', async () => {
    await watchAndDelete(kubectl);
    await ok('delete', 'deployment/web', 'pod/runner', '--timeout=30s');
    await ok('wait', '--for=delete', 'pod', '-l', 'app=web', '--timeout=30s');
    assert.match(await ok('delete', 'ns', namespace, '--timeout=30s'), /deleted/);
    const { stderr } = await kubectl.run(['get', 'ns', namespace]);
    assert.match(stderr, /NotFound/);
  });
}

async function watchAndDelete(kubectl: Kubectl): Promise<void> {
  const watch = kubectl.start(['get', 'pods', '-w', '-o', 'name']);
  await until('the watch shows the existing pod', () => watch.output().includes('pod/talker'));
  const lines = () => watch.output().trim().split('\n').length;
  const before = lines();
  await kubectl.ok(['label', 'pod', 'talker', 'seen=yes']);
  await until('the watch shows the change', () => lines() > before);
  assert.equal(await kubectl.ok(['delete', 'pod', 'talker']), 'pod "talker" deleted\n');
  await watch.stop();
  const { stderr } = await kubectl.run(['get', 'pod', 'talker']);
  assert.equal(stderr, 'Error from server (NotFound): pods "talker" not found\n');
}
