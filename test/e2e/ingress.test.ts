// An Ingress of a lab: HAProxy in two pods behind a load balancer, and the controller beside it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import type { KubeKinds, Pod } from '../../control/kube/kinds.ts';
import { kubeconfigPath } from '../../lab/places/paths.ts';
import { requireLab } from '../../lab/state/record.ts';
import { INGRESS_DEPLOYMENT } from '../../lab/supervisor/ingress.ts';
import {
  kubetun,
  serverPod,
  serviceObject,
  startLab,
  type TestLab,
  until,
} from '../support/lab.ts';
import { findKubectls } from './kubectl/binaries.ts';

const NAME = 'e2e-ingress';
const INTERNET = '203.0.113.10';
const HOST = 'shop.example.test';
const AWAY_MS = Number(process.env.KUBETUN_API_AWAY_MS ?? 5000);
const KUBECTLS = findKubectls();
let lab: TestLab;
let address = '';

function ingress(name: string, service: string, host = HOST, path = '/', spec: object = {}) {
  const backend = { service: { name: service, port: { number: 80 } } };
  const paths = [{ path, pathType: 'Prefix', backend }];
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { name, namespace: 'default' },
    spec: { rules: [{ host, http: { paths } }], ...spec },
  } as KubeKinds['Ingress'];
}

const OBJECTS = [
  serverPod('web1', 'node1'),
  serverPod('web2', 'node2'),
  serverPod('other', 'node2', { app: 'other' }),
  serviceObject('web', { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 'http' }] }),
  serviceObject('other', { selector: { app: 'other' }, ports: [{ port: 80, targetPort: 8080 }] }),
  ingress('web', 'web'),
];

before(async () => {
  lab = startLab(NAME, OBJECTS, { ingress: undefined });
  const { status } = await lab.kube.get('Service', INGRESS_DEPLOYMENT);
  address = status!.loadBalancer!.ingress![0]!.ip!;
});
after(() => lab?.down());

/** The body of an answer to the internet, with its status in front. */
async function get(path: string, host = HOST, ...args: string[]): Promise<string> {
  const common = ['-s', '-m', '5', '-w', '\n%{http_code}', '-H', `Host: ${host}`];
  const text = await lab.run('internet', 'curl', ...common, ...args, `http://${address}${path}`);
  const [status, ...body] = text.split('\n').reverse();
  return `${status} ${body.reverse().join('\n')}`;
}

async function proxies(): Promise<Pod[]> {
  const { items } = await lab.kube.list('Pod', { namespace: INGRESS_DEPLOYMENT.namespace });
  return items.filter(({ metadata }) => !metadata?.deletionTimestamp);
}

function kubectl(...args: string[]): string {
  return kubectlOf(KUBECTLS.at(-1)!.path, ...args);
}

function kubectlOf(path: string, ...args: string[]): string {
  const env = { ...process.env, KUBECONFIG: kubeconfigPath(NAME) };
  const { status, stdout, stderr } = spawnSync(path, args, { env, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout;
}

/** Runs a command beside HAProxy. The containers of a pod share their processes. */
function inPod({ metadata }: Pod, ...command: string[]): string {
  return kubectl('exec', '-n', 'ingress', metadata!.name!, '-c', 'controller', '--', ...command);
}

/** The first process that pgrep prints. Workers change with each reload. */
function masterOf(pids: string): string {
  return pids.split('\n')[0]!;
}

describe('an Ingress', () => {
  test('starts the controller and is served by the time lab up returns', async () => {
    assert.match(await get('/hostname'), /^200 web[12]$/);
    assert.match(await get('/hostname', 'unknown.test'), /^404 /);
  });

  test('has the address of the load balancer in get and describe of every kubectl', async () => {
    await until('the status has the address', async () => {
      const { status } = await lab.kube.get('Ingress', { namespace: 'default', name: 'web' });
      return status?.loadBalancer?.ingress?.[0]?.ip === address;
    });
    for (const { path, version } of KUBECTLS) {
      const row = kubectlOf(path, 'get', 'ingress', 'web');
      assert.match(row, new RegExp(`haproxy +${HOST} +${address} +80`), version);
      const text = kubectlOf(path, 'describe', 'ingress', 'web');
      assert.match(text, new RegExp(`Address: +${address}`), version);
      assert.match(text, /\/ +web:80 \(/, version);
    }
  });

  test('sees the address of the client, in the log of HAProxy as well', async () => {
    await get('/hostname?logged');
    const logs = (await proxies()).map(({ metadata }) =>
      kubectl('logs', '-n', 'ingress', metadata!.name!),
    );
    const line = new RegExp(`^${INTERNET}:\\d+ \\[.*\\] .* 200 .*"GET /hostname\\?logged`, 'm');
    assert.ok(
      logs.some((log) => line.test(log)),
      logs.join('\n---\n'),
    );
  });

  test('with a wrong backend has an event with the reason', async () => {
    await lab.kube.create('Ingress', ingress('wrong', 'absent', 'wrong.test'));
    await until('describe shows the event', () =>
      /Warning .*absent/.test(kubectl('describe', 'ingress', 'wrong')),
    );
    assert.match(await get('/', 'wrong.test'), /^503 /);
    await lab.kube.delete('Ingress', { namespace: 'default', name: 'wrong' });
  });

  test('without a controller has an event with the next step', async () => {
    const foreign = ingress('foreign', 'web', 'f.test', '/', { ingressClassName: 'nginx' });
    await lab.kube.create('Ingress', foreign);
    await until('describe shows the event', () =>
      /NoController .*set spec.ingressClassName to haproxy/.test(
        kubectl('describe', 'ingress', 'foreign'),
      ),
    );
    await lab.kube.delete('Ingress', { namespace: 'default', name: 'foreign' });
  });

  test('is in lab status', () => {
    const { stdout } = kubetun('lab', 'status', '--lab', NAME);
    assert.match(stdout, new RegExp(`default +web +haproxy +${HOST} +${address}`));
  });
});

describe('HAProxy goes on', () => {
  /** Sends requests one after the other until `done` resolves. Returns answers but the expected. */
  async function failuresDuring(done: Promise<unknown>): Promise<string[]> {
    const failures: string[] = [];
    let isDone = false;
    const ended = done.finally(() => {
      isDone = true;
    });
    do {
      const answer = await get('/hostname').catch(String);
      if (!/^200 /.test(answer)) failures.push(answer);
    } while (!isDone);
    await ended;
    return failures;
  }

  test('while its controllers are killed, and they take up later changes', async () => {
    const pods = await proxies();
    const processes = () => pods.map((pod) => inPod(pod, 'pgrep', '-f', 'haproxy -W'));
    const before = processes();
    const failures = await failuresDuring(
      (async () => {
        for (const pod of pods) {
          inPod(pod, 'pkill', '-9', '-f', 'controller/main.ts');
        }
        await lab.kube.create('Ingress', ingress('later', 'other', 'later.test'));
        await until('the later Ingress is served', async () =>
          /^200 other/.test(await get('/hostname', 'later.test')),
        );
      })(),
    );
    assert.deepEqual(failures, []);
    assert.deepEqual(processes().map(masterOf), before.map(masterOf));
    const now = await proxies();
    assert.ok(
      now.every(({ status }) => status!.containerStatuses!.every((c) => c.restartCount === 0)),
    );
  });

  test('while the API server is away, and takes up a change made meanwhile', async () => {
    const { supervisor } = requireLab(NAME);
    process.kill(supervisor!.pid, 'SIGSTOP');
    const failures = await failuresDuring(
      (async () => {
        const made = lab.kube.create('Ingress', ingress('meanwhile', 'other', 'meanwhile.test'));
        await new Promise((resolve) => setTimeout(resolve, AWAY_MS));
        process.kill(supervisor!.pid, 'SIGCONT');
        await made;
        await until('the Ingress is served', async () =>
          /^200 other/.test(await get('/hostname', 'meanwhile.test')),
        );
      })(),
    );
    assert.deepEqual(failures, []);
  });

  test('while a pod of it is deleted', async () => {
    const [pod] = await proxies();
    const { name, uid } = pod!.metadata!;
    const failures = await failuresDuring(
      (async () => {
        await lab.kube.delete('Pod', { namespace: 'ingress', name: name! });
        await until('the pod has left and another one is ready', async () => {
          const { items } = await lab.kube.list('Pod', { namespace: 'ingress' });
          const pods = await proxies();
          // HAProxy serves for a while after the request to end its pod.
          if (items.some(({ metadata }) => metadata!.uid === uid)) return false;
          const isReady = ({ status, metadata }: Pod) =>
            metadata!.uid !== uid &&
            status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True');
          return pods.filter(isReady).length === 2;
        });
      })(),
    );
    assert.deepEqual(failures, []);
  });
});
