// Manifests as tutorials and demo shops have them, in a real lab.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import type { Pod } from '../../control/kube/kinds.ts';
import { kubeconfigPath } from '../../lab/places/paths.ts';
import { clientPod, sleeperPod, startLab, type TestLab, until } from '../support/lab.ts';
import { findKubectls } from './kubectl/binaries.ts';
import { Kubectl } from './kubectl/kubectl.ts';

const NAME = 'e2e-public';
const POD = { apiVersion: 'v1', kind: 'Pod' };
let lab: TestLab;
let kubectl: Kubectl;

function textOf(name: string): string {
  return readFileSync(new URL(`../support/manifests/${name}.yaml`, import.meta.url), 'utf8');
}

function objectsOf(name: string): object[] {
  return parseAllDocuments(textOf(name)).map((document) => document.toJS() as object);
}

const named = (name: string) => ({ namespace: 'default', name });
const podOf = (name: string): Promise<Pod> => lab.kube.get('Pod', named(name));
const waitingOf = ({ status }: Pod) => status?.containerStatuses?.[0]?.state?.waiting;

async function untilReady(kind: 'Deployment' | 'StatefulSet', name: string, count: number) {
  await until(`${kind} ${name} has ${count} ready pods`, async () => {
    const { status } = await lab.kube.get(kind, named(name));
    return (status?.readyReplicas ?? 0) === count;
  });
}

/** The text of a URL, as the client sees it. */
const curl = (url: string) => lab.run('client', 'curl', '-s', '-m', '5', url);

describe('public manifests', { concurrency: 1 }, () => {
  before(() => {
    const items = [...objectsOf('hello'), ...objectsOf('statefulset')];
    const list = { apiVersion: 'v1', kind: 'List', items };
    // A pod that ends by itself counts as ready for `lab up`.
    const once = sleeperPod('once', { restartPolicy: 'Never' }, { command: ['true'] });
    lab = startLab(NAME, [clientPod('client', 'node1'), { ...POD, ...once }, list]);
    kubectl = new Kubectl(findKubectls().at(-1)!, kubeconfigPath(NAME));
  });
  after(async () => {
    kubectl?.close();
    await lab?.down();
  });

  const inDefault = (...args: string[]) => kubectl.run(['-n', 'default', ...args]);

  test('servers of a List run by command and by arguments, and a Service answers', async () => {
    await untilReady('Deployment', 'hello-node', 1);
    await untilReady('Deployment', 'hostnames', 3);
    await lab.untilEndpoints('default/hostnames:80', 3);
    const name = await curl(`http://${await lab.clusterIP('hostnames')}/`);
    assert.match(name, /^hostnames-[a-z0-9]+-[a-z0-9]+$/);
  });

  test('a StatefulSet with claims runs, and each pod answers with its name', async () => {
    await untilReady('StatefulSet', 'sts', 2);
    for (const name of ['sts-0', 'sts-1']) {
      assert.equal(await curl(`http://${await lab.podIP(name)}/hostname`), name);
    }
  });

  test('a pod that passes gRPC probes as a user other than root serves its Service', async () => {
    const { code, stderr } = await kubectl.run(
      ['apply', '-n', 'default', '-f', '-'],
      textOf('shop'),
    );
    assert.equal(code, 0, stderr);
    await untilReady('Deployment', 'catalog', 1);
    await lab.untilEndpoints('default/catalog:grpc', 1);
    assert.match(await curl('http://10.96.25.10:3550/hostname'), /^catalog-/);
  });

  test('a pod gets the read-only root, the user and the volume group that it requests', async () => {
    await until('front runs', async () => (await podOf('front')).status?.phase === 'Running');
    const { stdout } = await inDefault('logs', 'front');
    assert.match(stdout, /^1000$/m);
    assert.match(stdout, /^wrote-tmp$/m);
    assert.doesNotMatch(stdout, /WROTE-ROOT/);
    assert.equal((await inDefault('exec', 'front', '--', 'id', '-u')).stdout, '1000\n');
    assert.equal((await inDefault('exec', 'front', '--', 'stat', '-c%g', '/tmp')).stdout, '1000\n');
  });

  test('a user other than root serves a port below 1024', async () => {
    const asks = async () => (await curl(`http://${await lab.podIP('low-port')}/hostname`)).trim();
    await until('it answers', async () => (await asks().catch(() => '')) === 'low-port');
  });

  test('a pod runs by an old label of a node, and waits with a request that no node can meet', async () => {
    await until('carts runs', async () => (await podOf('carts')).status?.phase === 'Running');
    const huge = await podOf('huge');
    assert.equal(huge.status?.phase, 'Pending');
    const scheduled = huge.status?.conditions?.find(({ type }) => type === 'PodScheduled');
    assert.equal(scheduled?.message, '0/2 nodes are available: 2 Insufficient cpu.');
    const { stdout } = await inDefault('describe', 'nodes');
    assert.match(stdout, /^ {2}cpu +100m \(\d+%\) +200m \(\d+%\)$/m);
    assert.doesNotMatch(stdout, /-\d+%/);
  });

  test('a pod that must not run as root waits with the reason of a kubelet', async () => {
    await until('it waits', async () => waitingOf(await podOf('root-refused')) !== undefined);
    const { reason, message } = waitingOf(await podOf('root-refused'))!;
    assert.equal(reason, 'CreateContainerConfigError');
    assert.match(message!, /^container has runAsNonRoot and image will run as root/);
  });

  test('a pod fails at its deadline, and its containers end', async () => {
    await until('it fails', async () => (await podOf('deadline')).status?.phase === 'Failed');
    const { status } = await podOf('deadline');
    assert.equal(status?.reason, 'DeadlineExceeded');
    assert.equal(status?.containerStatuses?.[0]?.state?.running, undefined);
  });

  test('the error for a missing program names its image, never a script of the lab', async () => {
    const reasons = { missing: 'CreateContainerError', unknown: 'ErrImagePull' };
    for (const [name, reason] of Object.entries(reasons)) {
      await until(`${name} waits`, async () => waitingOf(await podOf(name))?.reason === reason);
    }
    const { message } = waitingOf(await podOf('missing'))!;
    assert.match(message!, /^exec: "no-such-program": executable file not found in \$PATH \(image/);
    assert.match(waitingOf(await podOf('unknown'))!.message!, /^image example\.com\/shop:1 is not/);
    const { stderr, code } = await inDefault('exec', 'carts', '--', 'no-such-program');
    assert.notEqual(code, 0);
    assert.match(stderr, /exec: "no-such-program": executable file not found in \$PATH/);
  });

  test('a container with stdin waits for input', async () => {
    await until('reader runs', async () => (await podOf('reader')).status?.phase === 'Running');
    assert.equal((await podOf('once')).status?.phase, 'Succeeded');
  });

  test('the termination message of a container is in its status', async () => {
    const ended = async () => (await podOf('last-words')).status?.containerStatuses?.[0]?.state;
    await until('it ends', async () => (await ended())?.terminated !== undefined);
    const { exitCode, message } = (await ended())!.terminated!;
    assert.deepEqual([exitCode, message], [3, 'no route to the shop\n']);
  });
});
