// Acknowledged writes survive a killed server and a full disk.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { call, service, startTestApi } from '../../../support/api-server.ts';

const CONFIGMAPS = '/api/v1/namespaces/default/configmaps';
const SERVICES = '/api/v1/namespaces/default/services';
const folder = mkdtempSync(join(tmpdir(), 'kubetun-disk-'));
after(() => rmSync(folder, { recursive: true }));

interface Server {
  child: ChildProcess;
  port: number;
  token: string;
  ca: string;
}

/** @param limit a shell command that runs before the server starts. */
async function start(journal: string, limit = ':'): Promise<Server> {
  const script = join(import.meta.dirname, '../../../support/api-process.ts');
  const command = `${limit}; exec "$0" "$@"`;
  const child = spawn('bash', ['-c', command, process.execPath, script, journal], {
    ...{ stdio: ['ignore', 'pipe', 'ignore'], env: { ...process.env, TMPDIR: folder } },
  });
  let text = '';
  for await (const chunk of child.stdout!) {
    text += chunk;
    if (text.includes('\n')) break;
  }
  return { child, ...(JSON.parse(text) as { port: number; token: string; ca: string }) };
}

function kill({ child }: Server): Promise<void> {
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });
}

const map = (name: string, bytes = 1) => ({ metadata: { name }, data: { x: 'x'.repeat(bytes) } });

/** Names of the objects of a server that starts with that journal. */
async function restored(journal: string, path: string): Promise<Set<string>> {
  const api = await startTestApi(journal);
  try {
    const { body } = await api.call('GET', path);
    return new Set(body.items.map((o: { metadata: { name: string } }) => o.metadata.name));
  } finally {
    await api.close();
  }
}

test('every acknowledged write survives a kill -9', async () => {
  const journal = join(folder, 'killed');
  const server = await start(journal);
  const acknowledged = new Set<string>();
  let isDead = false;
  const write = async (worker: number) => {
    for (let i = 0; !isDead; i++) {
      const name = `w${worker}-${i}`;
      const answer = await call(server, 'POST', CONFIGMAPS, map(name, 2000), {}).catch(() => null);
      if (answer?.code === 201) acknowledged.add(name);
      if (acknowledged.size === 100) {
        isDead = true;
        await kill(server);
      }
    }
  };
  await Promise.all([0, 1, 2, 3].map(write));
  const there = await restored(journal, CONFIGMAPS);
  assert.ok(acknowledged.size >= 100);
  assert.deepEqual(
    [...acknowledged].filter((name) => !there.has(name)),
    [],
  );
});

test('a full disk refuses only writes, and with room again nothing is lost', async () => {
  const journal = join(folder, 'full');
  // A limit of the file size makes a write fail partway, like a full disk.
  const server = await start(journal, "trap '' XFSZ; ulimit -S -f 64");
  const kept = new Set<string>();
  const refused = new Set<string>();
  try {
    for (let i = 0; refused.size < 5; i++) {
      const { code, body } = await call(server, 'POST', CONFIGMAPS, map(`m${i}`, 3000 + i), {});
      if (code === 201) kept.add(`m${i}`);
      else {
        refused.add(`m${i}`);
        assert.equal(code, 507);
        assert.equal(body.reason, 'InsufficientStorage');
        assert.match(body.message, /EFBIG.*: make room on the disk of the API server's state/);
      }
    }
    assert.ok(kept.size > 10);
    const { body } = await call(server, 'GET', CONFIGMAPS, undefined, {});
    const names = body.items.map((o: { metadata: { name: string } }) => o.metadata.name);
    assert.deepEqual(
      names.filter((name: string) => refused.has(name)),
      [],
    );
    const big = {
      ...service('big', { clusterIP: '10.96.0.77' }),
      metadata: { name: 'big', annotations: { a: 'x'.repeat(4000) } },
    };
    assert.equal((await call(server, 'POST', SERVICES, big, {})).code, 507);
    execFileSync('prlimit', ['--pid', String(server.child.pid), '--fsize=unlimited']);
    for (const name of refused) {
      assert.equal((await call(server, 'POST', CONFIGMAPS, map(name), {})).code, 201, name);
      kept.add(name);
    }
    const other = service('other', { clusterIP: '10.96.0.77' });
    const answer = await call(server, 'POST', SERVICES, other, {});
    assert.equal(answer.code, 201, 'the address of the refused Service is free');
  } finally {
    await kill(server);
  }
  const there = await restored(journal, CONFIGMAPS);
  there.delete('kube-root-ca.crt');
  assert.deepEqual([...there].sort(), [...kept].sort());
});
