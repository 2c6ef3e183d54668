// The commands of scripts/demo.sh and of the README: they exist, and so do the objects they name.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parseAllDocuments, stringify } from 'yaml';
import { explainQuestion } from '../../../control/explain/explain.ts';
import { fromFiles } from '../../../control/explain/source.ts';
import type { Pod, Service } from '../../../control/kube/kinds.ts';
import { PROJECT_ROOT } from '../../../lab/places/paths.ts';

const read = (path: string) => readFileSync(join(PROJECT_ROOT, path), 'utf8');
const DEMO = read('scripts/demo.sh');
const README = read('README.md');
const CLI = read('docs/cli.md');
const PLACES = ['node/node1', 'cloud', 'internet'];

const objects = parseAllDocuments(read('scripts/demo.yaml')).map((document) => document.toJS());
const of = <T extends { kind?: string }>(kind: string) =>
  objects.filter((object) => object.kind === kind) as T[];
const names = (kind: string) => of<Pod>(kind).map(({ metadata }) => metadata!.name!);
const addresses = of<Service>('Service').flatMap(({ spec }) => [
  spec?.clusterIP,
  spec?.loadBalancerIP,
]);

/** Words of each kubetun command: from the script, and from the block about the demo's lab. */
const COMMANDS = [...DEMO.split('\n'), ...readmeLines()]
  .filter((line) => !line.includes('"$@"'))
  .map((line) => /(?:scripts\/kubetun|^inside|\$\(inside) (.*)/.exec(line))
  .filter((found) => found !== null)
  .map(([text, words]) => (text.includes('inside') ? `lab exec ${words}` : words!))
  .map((words) =>
    words
      .replace(/\s(#.*|')$/, '')
      .replace(/\)?"?\s*(\|.*)?$/, '')
      .split(/\s+/),
  )
  .filter(([first]) => /^[a-z]+$/.test(first!));

function readmeLines(): string[] {
  const block = /## Work in a lab\n\n```\n(.*?)```/s.exec(README)![1]!;
  return block.split('\n').map((line) => line.replace(/\s+#.*/, ''));
}

/** The help of a command, which docs/cli.md has in full. */
function helpOf(words: string[]): string | null {
  const [first, second] = words;
  const sections = CLI.split(/^##+ kubetun /m);
  const named = (name: string) => sections.find((section) => section.startsWith(`${name}\n`));
  return named(`${first} ${second}`) ?? named(first!) ?? null;
}

test('the script is sound shell, and ends what it starts', () => {
  const { status, stderr } = spawnSync('sh', ['-n', join(PROJECT_ROOT, 'scripts/demo.sh')], {
    encoding: 'utf8',
  });
  assert.deepEqual([status, stderr], [0, '']);
  assert.match(DEMO, /--down\) exec scripts\/kubetun lab down/);
});

test('every command has its help, and every option is in it', () => {
  assert.ok(COMMANDS.length > 30, `${COMMANDS.length} commands`);
  for (const words of COMMANDS) {
    const help = helpOf(words);
    assert.ok(help, words.join(' '));
    const end = words.indexOf('--');
    for (const option of words.slice(0, end < 0 ? undefined : end)) {
      if (!/^--?[a-z]/.test(option)) continue;
      assert.match(help, new RegExp(`(^| )${option}[ ,]`, 'm'), words.join(' '));
    }
  }
});

test('every pod, Service, address and file that a command names is in the manifest', () => {
  const pods = [...names('Pod'), ...PLACES];
  for (const words of COMMANDS) {
    const text = words.join(' ');
    const target = /^lab exec (\S+)/.exec(text)?.[1];
    if (target) assert.ok(pods.includes(target), text);
    for (const [, name] of text.matchAll(/svc\/(\w+)|default\/(\w+)/g)) {
      if (name !== undefined) assert.ok(names('Service').includes(name), text);
    }
    for (const [address] of text.matchAll(/10\.96\.0\.\d+|198\.51\.100\.25\d/g)) {
      assert.ok(addresses.includes(address), `${text}: ${address} is of no Service`);
    }
    for (const [, file] of text.matchAll(/-f (\S+)/g)) {
      assert.ok(existsSync(join(PROJECT_ROOT, file!)), text);
    }
  }
});

test('shows names: a fetch, dig from a pod, and explain', () => {
  const texts = COMMANDS.map((words) => words.join(' '));
  for (const wanted of [
    /^lab exec client -- curl .*http:\/\/web\//,
    /^lab exec client -- dig \+search/,
    /^explain --from client --to web:80$/,
  ]) {
    assert.ok(texts.filter((text) => wanted.test(text)).length >= 1, String(wanted));
  }
  assert.match(DEMO, /dig \+noall \+answer www\.example\.test/);
});

test('explain follows each packet of a pod by name and by Service, and suggests the right name for a wrong one', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kubetun-demo-'));
  after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'all.yaml');
  writeFileSync(file, stringify({ kind: 'List', items: [...placed(), ...slices()] }));
  const ranges = { services: '10.96.0.0/16', public: '198.51.100.0/24' };
  const source = fromFiles([file], ranges);
  const asked = COMMANDS.filter(([verb]) => verb === 'explain').map((words) => words.join(' '));
  const ways = asked.map((text) => /--from (\w+) --to (\S+)/.exec(text)).filter((way) => way);
  assert.ok(ways.length >= 4, asked.join('\n'));
  for (const [text, from, to] of ways as RegExpExecArray[]) {
    const { verdict, steps } = explainQuestion(source, { from: from!, to: to! });
    if (to !== 'wbe:80') assert.equal(verdict, 'forward', text);
    else assert.equal(steps.at(-1)!.text, 'did you mean web?');
  }
});

/** The pods of the manifest with addresses, its Services, and two nodes. */
function placed(): object[] {
  const nodes = [1, 2].map((n) => ({
    ...{ kind: 'Node', metadata: { name: `node${n}` }, spec: { podCIDR: `10.244.${n}.0/24` } },
    status: { addresses: [{ type: 'InternalIP', address: `172.18.0.1${n}` }] },
  }));
  const pods = of<Pod>('Pod').map((pod, i) => ({
    ...pod,
    status: { podIP: `10.244.${pod.spec!.nodeName!.at(-1)}.${i + 2}`, phase: 'Running' },
  }));
  return [...nodes, ...pods, ...of<Service>('Service')];
}

function slices(): object[] {
  return [
    {
      ...{ kind: 'EndpointSlice', addressType: 'IPv4' },
      metadata: { name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      endpoints: [{ addresses: ['10.244.1.2'], nodeName: 'node1', conditions: { ready: true } }],
    },
  ];
}
