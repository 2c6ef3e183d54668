import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { serveAdmin } from '../../../../control/serve/admin.ts';
import { formatStatus, readStatus } from '../../../../lab/cli/status.ts';
import { identify } from '../../../../lab/host/process.ts';
import type { LabRecord } from '../../../../lab/state/record.ts';
import { defaultTopology } from '../../../../lab/topology/topology.ts';
import { fakeLog } from '../../control/sync/fake-sink.ts';

const LAB = 'ut-status';
const folder = mkdtempSync(join(tmpdir(), 'kubetun-status-'));
const state = join(folder, LAB);
const runDirBefore = process.env.KUBETUN_RUN_DIR;
const sockets = new Set<Socket>();
const servers: { close(): unknown }[] = [];
/** The ids of a running process and of an ended one. */
const self = identify(process.pid)!;
const ended = { pid: self.pid, start: self.start - 1 };

/** Accepts connections and never answers, like a process stopped by SIGSTOP. */
async function silent(at: string | number): Promise<Server> {
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  servers.push(server);
  await new Promise<void>((done) => {
    if (typeof at === 'string') server.listen(at, done);
    else server.listen(at, '127.0.0.1', done);
  });
  return server;
}

let record: LabRecord;

before(async () => {
  process.env.KUBETUN_RUN_DIR = folder;
  mkdirSync(join(state, 'agents'), { recursive: true });
  for (const [node, process] of Object.entries({ node1: self, node2: ended, cloud: self })) {
    writeFileSync(join(state, 'agents', `${node}.json`), JSON.stringify(process));
  }
  await silent(join(state, 'node1.sock'));
  const status = () => ({ generation: 7, unhealthy: [] });
  servers.push(await serveAdmin(join(state, 'cloud.sock'), { '/status': status }, fakeLog()));
  const { port } = (await silent(0)).address() as AddressInfo;
  writeFileSync(
    join(state, 'kubeconfig'),
    `clusters: [{name: c, cluster: {server: "https://127.0.0.1:${port}"}}]
users: [{name: u, user: {token: secret}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`,
  );
  record = {
    ...{ lab: LAB, topology: defaultTopology(2), created: '', phase: 'up', maker: null },
    ...{ supervisor: self, ephemeral: true, internet: null, logWriter: null, apiPort: port },
  };
});

after(() => {
  if (runDirBefore === undefined) delete process.env.KUBETUN_RUN_DIR;
  else process.env.KUBETUN_RUN_DIR = runDirBefore;
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
  rmSync(folder, { recursive: true });
});

test('status distinguishes silent agents from ended ones and names their logs', async () => {
  const status = await readStatus(record);
  const [node1, node2] = status.nodes;
  assert.deepEqual([node1!.agent, node1!.generation], ['silent', null]);
  assert.deepEqual(node1!.unhealthy, [
    `the agent of node1 has not answered within 3 s: see ${state}/agents/node1.log`,
  ]);
  assert.deepEqual([node2!.agent, node2!.generation], ['down', null]);
  assert.deepEqual(node2!.unhealthy, [
    `the agent of node2 has ended and is restarted: see ${state}/supervisor.log`,
  ]);
  assert.deepEqual([status.cloud.agent, status.cloud.generation], ['running', 7]);
  assert.deepEqual([status.pods, status.api], [null, null]);
  const text = formatStatus(status);
  assert.match(text, /node1 .* silent +no +-\n/);
  assert.match(text, /node2 .* down +no +-\n/);
  assert.match(
    text,
    new RegExp(
      `pods: unknown: the API server at https://127.0.0.1:${record.apiPort} has not answered within 5 s: check process ${self.pid} and ${state}/supervisor.log$`,
    ),
  );
});

test('status without a supervisor says how to resume the lab', async () => {
  const status = await readStatus({ ...record, supervisor: ended });
  const again = `resume the lab with scripts/kubetun lab up --lab ${LAB}`;
  assert.deepEqual(status.nodes[1]!.unhealthy, [
    `the agent of node2 has ended, and no supervisor restarts it: ${again}`,
  ]);
  assert.deepEqual([status.pods, status.api], [null, null]);
  assert.ok(formatStatus(status).endsWith(`pods: unknown: the supervisor has ended: ${again}`));
});
