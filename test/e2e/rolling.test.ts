// A Service's clients see no error while its pods come and go.
import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import type { KubeObject } from '../../control/kube/object.ts';
import {
  clientCommand,
  clientPod,
  serviceObject,
  startLab,
  type TestLab,
  until,
} from '../support/lab.ts';

const NAME = 'e2e-roll';
const WEB = { namespace: 'default', name: 'web' };
let lab: TestLab;

const DEPLOYMENT = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web' },
  spec: {
    replicas: 4,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: {
        terminationGracePeriodSeconds: 10,
        containers: [
          {
            name: 'main',
            image: 'agnhost',
            args: ['netexec', '--http-port=8080'],
            ports: [{ name: 'http', containerPort: 8080 }],
            readinessProbe: { httpGet: { path: '/hostname', port: 'http' }, periodSeconds: 1 },
            // Long enough for every node to learn that the pod is ending.
            lifecycle: { preStop: { exec: { command: ['sleep', '1'] } } },
          },
        ],
      },
    },
  },
};

interface Load {
  asked: number;
  answers: Record<string, number>;
  failures: Record<string, number>;
}

/**
 * Sends requests to the Service from two nodes during an action, without a failure; returns the
 * servers.
 */
async function underLoad(
  t: TestContext,
  what: string,
  happens: () => Promise<void>,
): Promise<Set<string>> {
  const url = `http://${await lab.clusterIP('web')}/hostname`;
  const loads = ['client1', 'client2'].map((pod) => lab.start(pod, clientCommand('load', url, 4)));
  await until('both ask', () => loads.every(({ output }) => output() !== ''));
  await happens();
  for (const { child } of loads) child.stdin?.end();
  const results = (await Promise.all(loads.map(({ done }) => done))).map((outcome) => {
    assert.equal(outcome.code, 0, outcome.stderr);
    return JSON.parse(outcome.stdout.split('\n')[1]!) as Load;
  });
  const asked = results.reduce((sum, load) => sum + load.asked, 0);
  const failures = results.map((load) => load.failures);
  t.diagnostic(`${what}: ${asked} requests, failures ${JSON.stringify(failures)}`);
  assert.deepEqual(failures, [{}, {}]);
  assert.ok(asked > 50, `only ${asked} requests`);
  return new Set(results.flatMap((load) => Object.keys(load.answers)));
}

async function patch(spec: object): Promise<void> {
  await lab.kube.patch('Deployment', WEB, { spec });
}

/** Resolves when this many pods of the newest template are available and no others are left. */
async function untilRolled(replicas: number): Promise<void> {
  await until(`${replicas} replicas`, async () => {
    const { metadata, spec, status } = await lab.kube.get('Deployment', WEB);
    const pods = (await lab.kube.list('Pod')).items.filter(
      (p) => p.metadata?.labels?.app === 'web',
    );
    return (
      status?.observedGeneration === metadata?.generation &&
      spec?.replicas === replicas &&
      status?.updatedReplicas === replicas &&
      status?.availableReplicas === replicas &&
      pods.length === replicas
    );
  });
}

const template = (colour: string) => ({
  template: { spec: { containers: [{ name: 'main', env: [{ name: 'COLOUR', value: colour }] }] } },
});

describe('clients of a Service see no error', () => {
  before(async () => {
    const service = { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 'http' }] };
    lab = startLab(NAME, [
      DEPLOYMENT as object,
      serviceObject('web', service),
      clientPod('client1', 'node1'),
      clientPod('client2', 'node2'),
    ]);
    await untilRolled(4);
    await lab.untilEndpoints('default/web:80', 4);
  });
  after(() => lab.down());

  test('during a rolling update of four pods', async (t) => {
    const before = await names();
    const answered = await underLoad(t, 'rolling update of 4', async () => {
      const [container] = DEPLOYMENT.spec.template.spec.containers;
      await patch({
        template: {
          spec: { containers: [{ ...container, ...template('red').template.spec.containers[0] }] },
        },
      });
      await untilRolled(4);
    });
    const now = await names();
    assert.ok(
      now.every((name) => !before.includes(name)),
      'all of them are new',
    );
    assert.ok(now.some((name) => answered.has(name)) && before.some((name) => answered.has(name)));
  });

  test('while a Deployment scales from one pod to ten and back', async (t) => {
    await patch({ replicas: 1 });
    await untilRolled(1);
    const answered = await underLoad(t, '1 to 10 to 1', async () => {
      await patch({ replicas: 10 });
      await untilRolled(10);
      await patch({ replicas: 1 });
      await untilRolled(1);
    });
    assert.ok(answered.size > 5, [...answered].join(' '));
  });

  test('when a pod crashes: it leaves the endpoints at once, and returns when it is ready', async (t) => {
    await patch({ replicas: 3 });
    await untilRolled(3);
    await lab.untilEndpoints('default/web:80', 3);
    const [victim] = await names();
    const address = await lab.podIP(victim!);
    await lab.run('client1', 'curl', '-s', `http://${address}:8080/exit?code=3`).catch(() => {});
    await until(
      'it has left the endpoints',
      async () => !(await readyAddresses()).includes(address),
    );
    const answered = await underLoad(t, 'after a crash', async () => {
      await new Promise((resolve) => setTimeout(resolve, 700));
    });
    assert.ok(answered.size >= 2, [...answered].join(' '));
    await until('it is back', async () => (await readyAddresses()).includes(address));
    const { status } = await lab.kube.get('Pod', { namespace: 'default', name: victim! });
    assert.equal(status?.containerStatuses?.[0]?.restartCount, 1);
    assert.equal(status?.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 3);
  });
});

async function names(): Promise<string[]> {
  const pods = (await lab.kube.list('Pod')).items.filter((p) => p.metadata?.labels?.app === 'web');
  return pods.map((pod) => pod.metadata!.name!).sort();
}

async function readyAddresses(): Promise<string[]> {
  const slices = (await lab.kube.list('EndpointSlice')).items as unknown as KubeObject[];
  return slices
    .filter((slice) => slice.metadata.labels?.['kubernetes.io/service-name'] === 'web')
    .flatMap(
      (slice) => slice.endpoints as { addresses: string[]; conditions: { ready: boolean } }[],
    )
    .filter((endpoint) => endpoint.conditions.ready)
    .map((endpoint) => endpoint.addresses[0]!);
}
