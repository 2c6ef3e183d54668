// A supervisor that dies takes nothing along; the next `lab up` takes up what it left.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isAlive } from '../../lab/host/process.ts';
import { findPod } from '../../lab/pods/find.ts';
import { readRecord } from '../../lab/state/record.ts';
import { readAgent } from '../../lab/supervisor/agents.ts';
import {
  clientCommand,
  clientPod,
  iperfPod,
  kubetun,
  serverPod,
  serviceObject,
  startLab,
  type TestLab,
  until,
} from '../support/lab.ts';

const NAME = 'e2e-adopt';
const STATE = `/run/kubetun/${NAME}`;
let lab: TestLab;

/** What must be the same before and after. */
async function picture() {
  const pods = (await lab.kube.list('Pod')).items.map((pod) => ({
    name: pod.metadata?.name,
    uid: pod.metadata?.uid,
    ip: pod.status?.podIP,
    node: pod.spec?.nodeName,
    restarts: pod.status?.containerStatuses?.[0]?.restartCount,
    pid: findPod(STATE, 'default', pod.metadata!.name!)?.containers[0]?.pid,
  }));
  const services = (await lab.kube.list('Service')).items.map((service) => [
    service.metadata?.uid,
    service.spec?.clusterIP,
    service.spec?.ports?.[0]?.nodePort,
  ]);
  return { pods, services, agents: ['node1', 'node2'].map((node) => readAgent(NAME, node)) };
}

describe('a lab whose supervisor is killed', () => {
  before(async () => {
    lab = startLab(NAME, [
      serverPod('web1', 'node1'),
      serverPod('web2', 'node2'),
      iperfPod('iperf', 'node2'),
      clientPod('client', 'node1'),
      serviceObject('web', {
        type: 'NodePort',
        selector: { app: 'web' },
        ports: [{ name: 'http', port: 80, targetPort: 'http' }],
      }),
      serviceObject('iperf', { selector: { app: 'iperf' }, ports: [{ port: 5201 }] }),
    ]);
    await lab.untilEndpoints('default/web:http', 2);
    await lab.untilEndpoints('default/iperf:5201', 1);
  });
  after(() => lab.down());

  test('goes on without it, and is taken up by lab up with everything as it was', async (t) => {
    const web = await lab.clusterIP('web');
    const was = await picture();
    const iperf = lab.start('client', [
      ...['iperf3', '-c', await lab.clusterIP('iperf'), '-t', '6', '-J', '-C', 'cubic'],
    ]);
    const load = lab.start('client', clientCommand('connect', web, 80, 6000, 8));
    await new Promise((resolve) => setTimeout(resolve, 500));
    const supervisor = readRecord(NAME)!.supervisor!;
    process.kill(supervisor.pid, 'SIGKILL');
    await until('it is dead', () => !isAlive(supervisor));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const status = await lab.json<{ api: string | null; pods: object[] | null }>('lab', 'status');
    assert.deepEqual([status.api, status.pods], [null, null], 'status says that nobody answers');
    const { code, stderr } = kubetun('lab', 'up', '--lab', NAME);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /without its supervisor: taking it up/);
    const [bulk, connects] = await Promise.all([iperf.done, load.done]);
    const result = JSON.parse(bulk.stdout) as {
      error?: string;
      intervals: { sum: { bytes: number } }[];
    };
    t.diagnostic(
      `Gbit/s: ${result.intervals.map(({ sum }) => ((sum.bytes * 8) / 1e9).toFixed(1)).join(' ')}`,
    );
    assert.equal(result.error, undefined);
    assert.ok(
      result.intervals.every(({ sum }) => sum.bytes > 0),
      'bytes flowed in every second',
    );
    assert.deepEqual((JSON.parse(connects.stdout) as { errors: object }).errors, {});
    assert.deepEqual(await picture(), was);
  });

  test('follows changes again: endpoints, new pods, deleted ones', async () => {
    await lab.kube.create('Pod', serverPod('web3', 'node1') as never);
    await lab.untilEndpoints('default/web:http', 3);
    await lab.kube.delete('Pod', { namespace: 'default', name: 'web1' });
    await lab.untilEndpoints('default/web:http', 2);
    const { answers } = await lab.client<{ answers: Record<string, number> }>(
      ...(['client', 'connect', await lab.clusterIP('web'), 80, 200] as const),
    );
    assert.deepEqual(Object.keys(answers).sort(), ['web2', 'web3']);
  });

  test('sees the end of a container that an earlier supervisor had started', async () => {
    const { pid } = findPod(STATE, 'default', 'web2')!.containers[0]!;
    process.kill(pid, 'SIGKILL');
    await until('it was restarted and counted', async () => {
      const pod = await lab.kube.get('Pod', { namespace: 'default', name: 'web2' });
      return pod.status?.containerStatuses?.[0]?.restartCount === 1;
    });
    await lab.untilEndpoints('default/web:http', 2);
  });
});
