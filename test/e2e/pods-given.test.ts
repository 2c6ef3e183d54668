// Inputs of a pod: environment, files, names, the network of its node.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { Pod } from '../../control/kube/kinds.ts';
import { isAlive } from '../../lab/host/process.ts';
import { volumesFolder } from '../../lab/pods/given/volumes.ts';
import { findPod, readPodRecord } from '../../lab/pods/sandbox/records.ts';
import { readAgent } from '../../lab/supervisor/agents.ts';
import { serviceObject, sleeperPod, startLab, type TestLab, until } from '../support/lab.ts';

const NAME = 'kubelet-give';
const STATE = `/run/kubetun/${NAME}`;
let lab: TestLab;

const read = (name: string) => lab.kube.get('Pod', { namespace: 'default', name });
const create = async (object: Pod) => {
  await lab.kube.create('Pod', object);
  const name = object.metadata!.name!;
  await until(`${name} runs`, async () => (await read(name)).status?.phase === 'Running');
};

async function remove(name: string): Promise<void> {
  await lab.kube.delete('Pod', { namespace: 'default', name }, { graceS: 0 });
  await until(`${name} is gone`, () => readPodRecord(STATE, 'default', name) === null);
}

async function environment(name: string): Promise<Record<string, string>> {
  const { pid } = findPod(STATE, 'default', name)!.containers[0]!;
  const text = await lab.run('node/node1', 'cat', `/proc/${pid}/environ`);
  return Object.fromEntries(text.split('\0').map((pair) => pair.split(/=(.*)/s).slice(0, 2)));
}

describe('a pod gets', () => {
  before(() => {
    const web = serviceObject('web', {
      selector: { app: 'web' },
      ports: [{ name: 'http', port: 80 }],
    });
    lab = startLab(NAME, [web], { nodes: [{ name: 'node1' }] });
  });
  after(() => lab.down());

  test('its environment, as soon as its sources exist', async () => {
    const configMapKeyRef = { name: 'late', key: 'colour' };
    const env = [{ name: 'COLOUR', valueFrom: { configMapKeyRef } }];
    const metadata = { namespace: 'default' };
    await lab.kube.create('Secret', {
      metadata: { ...metadata, name: 'pass' },
      data: { KEY: 'czNjcmV0' },
    });
    await lab.kube.create(
      'Pod',
      sleeperPod('env', {}, { env, envFrom: [{ secretRef: { name: 'pass' } }] }),
    );
    const waiting = async () => (await read('env')).status?.containerStatuses?.[0]?.state?.waiting;
    await until('it waits', async () => (await waiting())?.reason === 'CreateContainerConfigError');
    assert.equal((await waiting())!.message, 'configmap "late" not found');
    await lab.kube.create('ConfigMap', {
      metadata: { ...metadata, name: 'late' },
      data: { colour: 'red' },
    });
    await until('it runs', async () => (await read('env')).status?.phase === 'Running');
    const found = await environment('env');
    assert.deepEqual([found.COLOUR, found.KEY], ['red', 's3cret']);
    assert.equal(found.WEB_SERVICE_HOST, await lab.clusterIP('web'));
    assert.equal(found.WEB_SERVICE_PORT_HTTP, '80');
    assert.equal(found.KUBERNETES_SERVICE_PORT, '443');
    assert.equal((await read('env')).status?.containerStatuses?.[0]?.restartCount, 0);
  });

  test('only the variables of the API server with enableServiceLinks: false', async () => {
    await create(sleeperPod('unlinked', { enableServiceLinks: false }));
    const found = await environment('unlinked');
    assert.ok(!('WEB_SERVICE_HOST' in found));
    assert.ok('KUBERNETES_SERVICE_HOST' in found);
  });

  test('files of ConfigMaps, Secrets and its own fields, read-only', async () => {
    const volumes = [
      { name: 'cfg', configMap: { name: 'late', items: [{ key: 'colour', path: 'deep/colour' }] } },
      {
        name: 'all',
        projected: {
          defaultMode: 0o440,
          sources: [
            { secret: { name: 'pass' } },
            {
              downwardAPI: { items: [{ path: 'name', fieldRef: { fieldPath: 'metadata.name' } }] },
            },
          ],
        },
      },
    ];
    const volumeMounts = [
      { name: 'cfg', mountPath: '/etc/cfg' },
      { name: 'cfg', mountPath: '/etc/colour', subPath: 'deep/colour' },
      { name: 'all', mountPath: '/var/run/all' },
    ];
    await create(sleeperPod('files', { volumes }, { volumeMounts }));
    const cat = (path: string) => lab.run('files', 'cat', path);
    assert.equal(await cat('/etc/cfg/deep/colour'), 'red');
    assert.equal(await cat('/etc/colour'), 'red');
    assert.equal(await cat('/var/run/all/KEY'), 's3cret');
    assert.equal(
      await cat('/run/all/name'),
      'files',
      'a link in the path is resolved inside the pod',
    );
    assert.equal(await lab.run('files', 'stat', '-c', '%a', '/run/all/KEY'), '440\n');
    assert.notEqual((await lab.start('files', ['sh', '-c', 'echo x >/etc/cfg/new']).done).code, 0);
    assert.ok(!existsSync('/etc/cfg') && !existsSync('/run/all'), 'the machine has neither');
    const folder = volumesFolder(STATE, (await read('files')).metadata!.uid!);
    assert.ok(existsSync(folder));
    await remove('files');
    assert.ok(!existsSync(folder));
  });

  test('an emptyDir shared by its containers', async () => {
    const at = (mountPath: string, readOnly = false) => ({
      volumeMounts: [{ name: 'data', mountPath, readOnly }],
    });
    const main = { name: 'main', image: 'busybox' };
    const containers = [
      { ...main, command: ['sh', '-c', 'echo written >/a/file; exec sleep infinity'], ...at('/a') },
      {
        ...main,
        name: 'reader',
        command: [
          'sh',
          '-c',
          'until [ -s /b/file ]; do sleep 0.05; done; ! echo x >/b/file && exec sleep infinity',
        ],
        ...at('/b', true),
      },
    ];
    await create(sleeperPod('shared', { volumes: [{ name: 'data', emptyDir: {} }], containers }));
    assert.equal(await lab.run('shared', 'cat', '/a/file'), 'written\n');
    await until('the other one read it', async () => {
      const statuses = (await read('shared')).status!.containerStatuses!;
      return statuses.every((c) => c.ready && c.restartCount === 0);
    });
  });

  test('no running container before its volumes exist; an event has the reason', async () => {
    const volumes = [{ name: 'cfg', configMap: { name: 'later' } }];
    const mounted = { volumeMounts: [{ name: 'cfg', mountPath: '/etc/cfg' }] };
    await lab.kube.create('Pod', sleeperPod('waits', { volumes }, mounted));
    await until('the event is written', async () => {
      const { items } = await lab.kube.list('Event', { namespace: 'default' });
      const wanted = 'MountVolume.SetUp failed for volume "cfg" : configmap "later" not found';
      return items.some((e) => e.reason === 'FailedMount' && e.message === wanted);
    });
    const { status } = await read('waits');
    assert.equal(status?.phase, 'Pending');
    assert.equal(status?.containerStatuses?.[0]?.state?.waiting?.reason, 'ContainerCreating');
    const metadata = { name: 'later', namespace: 'default' };
    await lab.kube.create('ConfigMap', { metadata, data: { a: 'b' } });
    await until('it runs', async () => (await read('waits')).status?.phase === 'Running');
    assert.equal(await lab.run('waits', 'cat', '/etc/cfg/a'), 'b');
  });

  test('names for itself and for others', async () => {
    const hostAliases = [{ ip: '192.0.2.7', hostnames: ['alias.example'] }];
    const dnsConfig = { options: [{ name: 'ndots', value: '2' }] };
    await create(sleeperPod('named', { hostname: 'a', subdomain: 'db', hostAliases, dnsConfig }));
    assert.equal(await lab.run('named', 'hostname', '-f'), 'a.db.default.svc.cluster.local\n');
    assert.match(await lab.run('named', 'getent', 'ahostsv4', 'alias.example'), /^192\.0\.2\.7 /);
    assert.match(await lab.run('named', 'cat', '/etc/resolv.conf'), /options ndots:2\n$/);
  });

  test('the network of its node on request, unchanged afterwards', async () => {
    const probe = { httpGet: { path: '/healthz', port: 8099 }, periodSeconds: 1 };
    const server = {
      image: 'agnhost',
      command: [],
      args: ['netexec', '--http-port=8099', '--udp-port=-1'],
      readinessProbe: probe,
    };
    await create(sleeperPod('hosted', { hostNetwork: true }, server));
    const { status } = await read('hosted');
    assert.equal(status?.podIP, status?.hostIP);
    await until(
      'it is ready',
      async () => (await read('hosted')).status?.containerStatuses?.[0]?.ready === true,
    );
    assert.equal(await lab.run('hosted', 'hostname'), 'node1\n');
    assert.match(await lab.run('hosted', 'ip', '-br', 'link'), /^kt0 /m);
    const agent = readAgent(NAME, 'node1');
    await remove('hosted');
    assert.deepEqual(readAgent(NAME, 'node1'), agent);
    assert.ok(isAlive(agent as never), 'the agent of the node goes on');
    await lab.run('env', 'true');
  });
});
