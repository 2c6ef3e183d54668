// A node whose agent stays away: the node itself is reachable, its pods' traffic is held.
import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { isAlive } from '../../lab/host/process.ts';
import { agentKubeconfigPath } from '../../lab/places/paths.ts';
import { readAgent } from '../../lab/supervisor/agents.ts';
import {
  assertGone,
  clientCommand,
  clientPod,
  NODE,
  type Running,
  serverPod,
  serviceObject,
  startLab,
  type TestLab,
  until,
} from '../support/lab.ts';

const NAME = 'agent2';
const SERVER = "require('node:http').createServer((_, r) => r.end('node')).listen(22, '0.0.0.0')";
let lab: TestLab;
let server: Running;

describe('a node whose agent stays away', () => {
  before(async () => {
    lab = startLab(NAME, [
      serverPod('web', 'node1'),
      clientPod('client', 'node2'),
      serviceObject('web', {
        type: 'NodePort',
        selector: { app: 'web' },
        ports: [{ name: 'http', port: 80, targetPort: 8080, nodePort: 30_080 }],
      }),
    ]);
    await lab.untilEndpoints('default/web:http', 1);
    server = lab.start('node/node1', [NODE, '-e', SERVER]);
  });
  after(async () => {
    server.child.kill('SIGKILL');
    await lab.down();
    assertGone(NAME);
  });

  const ask = async (from: string, port: number) => {
    const found = await lab.kube.get('Node', { name: 'node1' });
    const { address } = found.status!.addresses!.find(({ type }) => type === 'InternalIP')!;
    const out = await lab.run(from, ...clientCommand('connect', address, port, 1));
    return (JSON.parse(out) as { answers: Record<string, number> }).answers;
  };
  const rules = () => lab.run('node/node1', 'ip', 'rule');

  test("is reachable and answers pings, and its pods' traffic is held", async () => {
    await until('the server is up', async () => 'node' in (await ask('node/node2', 22)));
    const path = agentKubeconfigPath(NAME);
    // Each agent fails at this file.
    renameSync(path, `${path}.away`);
    const agent = readAgent(NAME, 'node1')!;
    process.kill(agent.pid, 'SIGKILL');
    await until('it is dead', () => !isAlive(agent));
    await until('the watchdog has added its rule', async () => /^9:/m.test(await rules()));
    assert.deepEqual(await ask('node/node2', 22), { node: 1 });
    await lab.run('node/node2', 'ping', '-c1', '-W2', '172.18.0.11');
    await lab.run('node/node1', 'ping', '-c1', '-W2', '172.18.0.12');
    const [direct, nodePort, fromPod] = await Promise.all([
      lab.run('node/node2', ...clientCommand('connect', await lab.podIP('web'), 8080, 1)),
      ask('node/node2', 30_080),
      ask('client', 22),
    ]);
    assert.deepEqual((JSON.parse(direct) as { answers: object }).answers, {}, 'to a pod');
    assert.deepEqual(nodePort, {}, 'to a NodePort');
    assert.deepEqual(fromPod, {}, 'from a pod');
    renameSync(`${path}.away`, path);
  });

  test('uses the datapath again when the agent is back', async () => {
    await until('Services are served', async () => 'web' in (await ask('node/node2', 30_080)));
    await until('the rule of the watchdog is gone', async () => !/^9:/m.test(await rules()));
    assert.deepEqual(await ask('node/node2', 22), { node: 1 });
    assert.deepEqual(await ask('client', 22), { node: 1 });
  });
});
