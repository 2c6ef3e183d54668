import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Command } from 'commander';
import { askAgent, tellAgent } from '../../../../control/admin-client.ts';
import { register as registerAgent } from '../../../../control/cli/agent.ts';
import { completionScript } from '../../../../control/cli/completion.ts';
import {
  formatFlows,
  register as registerConntrack,
  requireKnown,
} from '../../../../control/cli/conntrack.ts';
import { flowFilter } from '../../../../control/cli/filters.ts';
import {
  labOf,
  labOption,
  parseRangeOption,
  requireNode,
} from '../../../../control/cli/options.ts';
import { formatServices, register as registerServices } from '../../../../control/cli/services.ts';
import { serveAdmin } from '../../../../control/serve/admin.ts';
import type { ServiceDescription } from '../../../../control/sync/describe.ts';
import { KubetunError } from '../../../../datapath/error.ts';
import type { ArenaReader, FlowRow } from '../../../../datapath/observe/flows.ts';
import { fakeLog } from '../sync/fake-sink.ts';

const folder = mkdtempSync(join(tmpdir(), 'kubetun-cli-'));
const runDirBefore = process.env.KUBETUN_RUN_DIR;

before(() => {
  process.env.KUBETUN_RUN_DIR = folder;
  mkdirSync(join(folder, 'up'));
  for (const name of ['node2', 'node1', 'cloud'])
    writeFileSync(join(folder, 'up', `${name}.sock`), '');
});

after(() => {
  if (runDirBefore === undefined) delete process.env.KUBETUN_RUN_DIR;
  else process.env.KUBETUN_RUN_DIR = runDirBefore;
  rmSync(folder, { recursive: true });
});

function refusal(code: string, text: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof KubetunError);
    assert.equal(error.code, code);
    assert.match(`${error.message}: ${error.next}`, text);
    return true;
  };
}

test('errors list the known nodes, and tell how to start a stopped lab', () => {
  requireNode('up', 'node1');
  assert.throws(
    () => requireNode('up', 'node9'),
    refusal('KT_NODE_UNKNOWN', /node1, node2, cloud$/),
  );
  assert.throws(
    () => requireNode('down', 'node1'),
    refusal('KT_LAB_DOWN', /lab down is not up.*lab up/),
  );
});

test('a command that needs --node lists the nodes of the lab', async () => {
  const program = new Command();
  registerServices(program);
  const run = (...args: string[]) => program.parseAsync(['services', ...args], { from: 'user' });
  const missing = refusal('KT_USAGE', /^--node is missing: .* of lab up: node1, node2, cloud$/);
  await assert.rejects(run('--lab', 'up'), missing);
  await assert.rejects(run('--lab', 'down'), refusal('KT_LAB_DOWN', /lab down is not up/));
});

test('--lab works before and after the command', async () => {
  const seen: string[] = [];
  for (const args of [[], ['--lab', 'a', 'sub'], ['sub', '--lab', 'b']]) {
    const program = new Command().option('--lab <name>', '', 'default').enablePositionalOptions();
    program
      .command('sub', { isDefault: true })
      .addOption(labOption())
      .action((_options: object, command: Command) => {
        seen.push(labOf(command));
      });
    await program.parseAsync(args, { from: 'user' });
  }
  assert.deepEqual(seen, ['default', 'a', 'b']);
});

test('accepts only ranges in canonical form', () => {
  assert.equal(parseRangeOption('10.96.3.4/16'), '10.96.0.0/16');
  for (const bad of ['10.96.0.0', '10.96.0.0/33', 'x/8', '010.0.0.0/8']) {
    assert.throws(() => parseRangeOption(bad), /must be a range/);
  }
});

const FLOW: FlowRow = {
  id: 7,
  proto: 'tcp',
  state: 'ESTABLISHED',
  original: { src: '10.244.1.2', sport: 4000, dst: '10.96.0.5', dport: 80 },
  reply: { src: '10.244.2.3', sport: 8080, dst: '10.244.1.2', dport: 4000 },
  timeoutS: 86_400,
  packets: 5,
  bytes: 600,
  service: 'ns/web:http',
  flags: ['dnat', 'assured'],
};

const FILTERS: [object, boolean][] = [
  [{}, true],
  [{ proto: 'TCP' }, true],
  [{ proto: 'udp' }, false],
  [{ state: 'established' }, true],
  [{ state: 'CLOSE' }, false],
  [{ src: '10.244.1.2' }, true],
  [{ src: '10.244.1.2:4000' }, true],
  [{ src: '10.244.1.2:80' }, false],
  [{ src: '10.244.1.0/24' }, true],
  [{ src: '10.244.2.0/24' }, false],
  [{ dst: '10.96.0.5:80' }, true],
  [{ dst: ':8080' }, true],
  [{ dst: '10.244.2.3' }, true],
  [{ dst: '10.244.1.2' }, false],
  [{ service: 'web' }, true],
  [{ service: 'ns/web' }, true],
  [{ service: 'ns/web:http' }, true],
  [{ service: 'ns/we' }, false],
  [{ proto: 'tcp', dst: ':80', src: '10.0.0.0/8', service: 'web', state: 'established' }, true],
  [{ proto: 'tcp', dst: ':81' }, false],
];

for (const [options, expected] of FILTERS) {
  test(`conntrack filter ${JSON.stringify(options)}: ${expected}`, () => {
    assert.equal(flowFilter(options)(FLOW), expected);
  });
}

test('refuses a filter that is not an address as wrong usage', () => {
  for (const src of ['1.2.3', 'web', '1.2.3.4:', ':']) {
    assert.throws(
      () => flowFilter({ src }),
      (error: unknown) => error instanceof KubetunError && error.exitCode === 2,
      src,
    );
  }
});

test('refuses an unknown filter value and lists the known ones', async () => {
  const program = new Command();
  registerConntrack(program);
  const list = program.commands[0]!.commands[0]!;
  list.exitOverride().configureOutput({ writeErr: () => {} });
  const words = ['conntrack', 'list', '--node', 'n1', '--proto', 'tpc'];
  const allowed = /Allowed choices are tcp, udp, icmp, sctp/;
  await assert.rejects(program.parseAsync(words, { from: 'user' }), allowed);
  const reader = { states: ['ESTABLISHED'], services: () => ['shop/web:80'], flows: () => [] };
  const check = (options: { state?: string; service?: string }) => () =>
    requireKnown(reader as unknown as ArenaReader, { node: 'n1', ...options });
  assert.doesNotThrow(check({ state: 'established', service: 'web' }));
  assert.throws(check({ state: 'ESTABLISHD' }), refusal('KT_FILTER', /give one of ESTABLISHED/));
  assert.throws(check({ service: 'webb' }), refusal('KT_FILTER', /services --node n1 lists/));
});

test('lists flows without a Service too', () => {
  const [, line] = formatFlows([{ ...FLOW, service: null, flags: [] }]).split('\n');
  assert.match(
    line ?? '',
    /^7 +tcp +ESTABLISHED +10\.244\.1\.2:4000 +10\.96\.0\.5:80 +10\.244\.2\.3:8080 +10\.244\.1\.2:4000 +86400s +5 +600 +- +-$/,
  );
});

const SERVICE: ServiceDescription = {
  service: 'ns/web:http',
  proto: 'tcp',
  frontends: [
    { address: '10.96.0.5:80', kind: 'cluster' },
    { address: '172.18.0.11:30080', kind: 'nodeport' },
  ],
  internalPolicy: 'Cluster',
  externalPolicy: 'Local',
  affinityS: 60,
  eligible: ['a', 'b', 'c', 'd', 'e', 'f'],
  generation: 7,
  refused: ['192.0.2.9 is not captured: it is an address of a node'],
};

test('prints a line for each frontend of a Service, and counts many endpoints', () => {
  const lines = formatServices([
    SERVICE,
    { ...SERVICE, service: 'ns/x:1', frontends: [], eligible: [] },
  ])
    .split('\n')
    .map((line) => line.split(/ {2,}/));
  assert.deepEqual(lines[1], [
    'ns/web:http',
    'tcp',
    '10.96.0.5:80 (cluster)',
    'a,b,c,d and 2 more',
    'external-local affinity 60s',
    '7',
  ]);
  assert.deepEqual(lines[2], ['', '172.18.0.11:30080 (nodeport)']);
  assert.deepEqual(lines[3]?.slice(2, 4), ['-', 'none: refused']);
});

test('the admin socket answers its owner only, names its paths, and replaces a stale socket', async () => {
  const path = join(folder, 'up', 'node1.sock');
  const log = fakeLog();
  const routes = {
    '/status': () => ({ node: 'node1' }),
    '/steering': () => {
      throw new Error('spawnSync ip EMFILE');
    },
  };
  const server = await serveAdmin(path, routes, log);
  try {
    assert.deepEqual(await askAgent('up', 'node1', '/status'), { node: 'node1' });
    const unknown = await askAgent<{ paths: string[] }>('up', 'node1', '/nothing');
    assert.deepEqual(unknown.paths, ['/status', '/steering']);
    await assert.rejects(
      askAgent('up', 'node1', '/steering'),
      refusal('KT_AGENT_SILENT', /spawnSync ip EMFILE/),
    );
    assert.equal(log.lines.length, 1);
    assert.deepEqual(
      await askAgent('up', 'node1', '/status'),
      { node: 'node1' },
      'the server goes on',
    );
    const { mode } = await import('node:fs').then((fs) => fs.statSync(path));
    assert.equal(mode & 0o777, 0o600);
  } finally {
    server.close();
  }
  await assert.rejects(
    askAgent('up', 'node2', '/status'),
    refusal('KT_AGENT_SILENT', /^the agent of node2 does not listen: .*node2\.log$/),
  );
});

function fullProgram(): Command {
  const program = new Command('kubetun').option('--lab <name>');
  for (const register of [registerAgent, registerServices, registerConntrack]) register(program);
  return program;
}

/** The completions of bash for these words; the last one is incomplete. */
function complete(words: string[]): string[] {
  const script = `${completionScript(fullProgram(), false)}
COMP_WORDS=(kubetun ${words.map((w) => `'${w}'`).join(' ')}); COMP_CWORD=${words.length}
_kubetun; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
  assert.equal(stderr, '');
  return stdout.split('\n').filter(Boolean);
}

test('refuses an admin path that is too long for a socket before it creates anything', async () => {
  const path = join(folder, 'x'.repeat(108 - folder.length - 1));
  assert.equal(path.length, 108);
  await assert.rejects(
    serveAdmin(path, {}, fakeLog()),
    refusal('KT_ADMIN_SOCKET', /has 108 bytes, at most 107 fit/),
  );
});

test('an agent gets a request with a body, and the error of a refusal has its reason', async () => {
  const path = join(folder, 'up', 'node1.sock');
  const heard: unknown[] = [];
  const routes = {
    'POST /ports': async (body?: unknown) => heard.push(body),
    'DELETE /ports': () => Promise.reject(new Error('no such port')),
  };
  const log = fakeLog();
  const server = await serveAdmin(path, routes, log);
  const tell = (method: 'POST' | 'DELETE', to: string, body: object) =>
    tellAgent<number>('up', 'node1', { method, path: to }, body);
  try {
    assert.equal(await tell('POST', '/ports', { address: '10.244.1.2' }), 1);
    assert.deepEqual(heard, [{ address: '10.244.1.2' }]);
    await assert.rejects(tell('DELETE', '/ports', {}), refusal('KT_AGENT_SILENT', /no such port/));
    await assert.rejects(
      tell('POST', '/status', {}),
      refusal('KT_AGENT_SILENT', /no POST \/status/),
    );
    const large = { netns: 'x'.repeat(70_000) };
    await assert.rejects(tell('POST', '/ports', large), refusal('KT_AGENT_SILENT', /65536 bytes/));
    assert.equal(heard.length, 1);
    const answer = await askAgent<{ error: string }>('up', 'node1', '/ports');
    assert.match(answer.error, /no GET \/ports/);
  } finally {
    server.close();
  }
});

test('bash completion follows the tree of commands', () => {
  assert.deepEqual(complete(['con']), ['conntrack']);
  assert.deepEqual(complete(['conntrack', '']).slice(0, 2), ['list', 'count']);
  assert.deepEqual(complete(['--lab', 'services', 'conntrack', 'list', '--s']), [
    '--src',
    '--service',
    '--state',
  ]);
  assert.deepEqual(complete(['agent', '--service']), ['--service-range']);
});
