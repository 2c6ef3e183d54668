// `explain --batch` with malformed lines and objects.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { answerLines } from '../../../../control/explain/explain.ts';
import { fromFiles } from '../../../../control/explain/source.ts';

const ROOT = join(import.meta.dirname, '../../../..');
const RANGES = { services: '10.96.0.0/16', public: '198.51.100.0/24' };
const folder = mkdtempSync(join(tmpdir(), 'kubetun-batch-'));
after(() => rmSync(folder, { recursive: true }));

const NODES = [1, 2].map((n) => ({
  ...{ kind: 'Node', metadata: { name: `node${n}` }, spec: { podCIDR: `10.244.${n}.0/24` } },
  status: { addresses: [{ type: 'InternalIP', address: `172.18.0.1${n}` }] },
}));
const OBJECTS = [
  ...NODES,
  {
    ...{ kind: 'Pod', metadata: { name: 'client' }, spec: { nodeName: 'node1' } },
    status: { podIP: '10.244.1.5', podIPs: [{ ip: '10.244.1.5' }, { ip: 'fd00::5' }] },
  },
  { kind: 'Pod', metadata: { name: 'six' }, status: { podIP: 'fd00::6' } },
  { kind: 'Pod', metadata: { name: 'homeless' }, status: { podIP: '192.0.2.9' } },
  {
    ...{ kind: 'Service', metadata: { name: 'web' } },
    spec: {
      clusterIP: '10.96.0.20',
      clusterIPs: ['10.96.0.20', 'fd00::20'],
      ports: [{ port: 80 }],
    },
  },
  { kind: 'Service', metadata: { name: 'bare' }, spec: { clusterIP: '10.96.0.21' } },
  { kind: 'Service', metadata: { name: 'empty' } },
  ...['IPv4', 'IPv6'].map((addressType, n) => ({
    ...{ kind: 'EndpointSlice', addressType, ports: [{ port: 8080 }] },
    metadata: { name: `web-${n}`, labels: { 'kubernetes.io/service-name': 'web' } },
    endpoints: [{ addresses: [n === 0 ? '10.244.2.5' : 'fd00::25'], nodeName: 'node2' }],
  })),
];

/** A file with these objects. */
function fileOf(name: string, objects: object[]): string {
  const file = join(folder, name);
  writeFileSync(file, objects.map((object) => JSON.stringify(object)).join('\n---\n'));
  return file;
}

const file = fileOf('all.yaml', OBJECTS);
const source = fromFiles([file], RANGES);

async function* chunksOf(text: string, bytes: number): AsyncGenerator<string> {
  for (let at = 0; at < text.length; at += bytes) yield text.slice(at, at + bytes);
}

/** A batch's answer to one line: an error, or verdict and reason. */
async function answer(line: string): Promise<string> {
  const answers: string[] = [];
  for await (const text of answerLines(source, chunksOf(line, 1000))) answers.push(text);
  assert.equal(answers.length, 1);
  const { error, verdict, reason } = JSON.parse(answers[0]!);
  return error ?? `${verdict} ${reason}`;
}

const GOOD = '{"from":"client","to":"svc/web"}';
const ask = (to: string, more: object = {}) => JSON.stringify({ from: 'client', to, ...more });
const LINES: [what: string, line: string, answer: RegExp][] = [
  ['no JSON', '{"from"', /JSON/],
  ['a bare null', 'null', /the question is not a JSON object/],
  ['a number', '5', /the question is not a JSON object/],
  ['a list', `[${GOOD}]`, /the question is not a JSON object/],
  ['an empty object', '{}', /from is missing/],
  ['a number for a place', '{"from":5,"to":"svc/web"}', /from is not a string/],
  ['a missing destination', '{"from":"client"}', /to is missing/],
  ['an empty place', '{"from":"","to":"svc/web"}', /no pod default\//],
  ['a node that is a number', ask('svc/web', { node: 5 }), /node is not a string/],
  [
    'a property of every object as a node',
    ask('svc/web', { node: 'toString' }),
    /no node toString: the nodes are/,
  ],
  ['an unknown node', '{"from":"node/nowhere","to":"svc/web"}', /no node nowhere/],
  ['null for optional fields', ask('svc/web', { sport: null, node: null }), /^forward service/],
  ['the source port 0', ask('svc/web', { sport: 0 }), /--sport 0 is not a port/],
  ['a source port above 65,535', ask('svc/web', { sport: 65_536 }), /--sport 65536 is not a port/],
  ['a text for a source port', ask('svc/web', { sport: '80' }), /--sport "80" is not a port/],
  ['an object for a source port', ask('svc/web', { sport: {} }), /--sport \{\} is not a port/],
  ['an identifier of 0', ask('203.0.113.9/icmp', { sport: 0 }), /^forward egress/],
  ['unknown fields', ask('svc/web', { id: 7, expect: 'forward' }), /^forward service/],
  [
    'a property of every object as a protocol',
    ask('10.96.0.20:80/constructor'),
    /is not a destination/,
  ],
  ['an IPv6 target', ask('[fd00::20]:80'), /is not a destination/],
  ['an IPv6 pod', '{"from":"six","to":"svc/web"}', /no pod default\/six with an address/],
  ['a Service without ports', ask('svc/bare'), /service default\/bare has no port: add one/],
  ['a Service without a spec', ask('svc/empty'), /default\/empty has no spec\.clusterIP/],
  ['the address of a Service without ports', ask('10.96.0.21:80'), /^drop unallocated/],
  ['echo to a ClusterIP', ask('10.96.0.20/icmp'), /^reject reject-wrong-port/],
  ['SCTP to a Service of TCP', ask('10.96.0.20:80/sctp'), /^reject reject-wrong-port/],
  ['SCTP to the outside', ask('203.0.113.9:80/sctp'), /^forward egress/],
  ["the pod's own node", ask('172.18.0.11:22'), /^forward passed-host/],
  ['another node', ask('172.18.0.12:22/udp'), /^forward direct/],
  [
    'echo from node to node',
    '{"from":"node/node1","to":"172.18.0.12/icmp"}',
    /^forward passed-host/,
  ],
  ['a pod to itself', ask('10.244.1.5:80'), /^local own-address/],
  [
    'a pod without a node',
    '{"from":"homeless","to":"svc/web"}',
    /node of --from homeless is unknown/,
  ],
  [
    'an outside client with the node where it arrives',
    '{"from":"8.8.8.8","to":"svc/web","node":"node1"}',
    /^forward/,
  ],
  ['a line too long', `{"from":"${'x'.repeat(70_000)}","to":"svc/web"}`, /more than 65536/],
  ['a deep line', `${'['.repeat(30_000)}`, /JSON/],
];
for (const [what, line, expected] of LINES) {
  test(`a batch answers ${what}`, async () => assert.match(await answer(line), expected));
}

test('a batch continues after every bad line, for any split of the input', async () => {
  const long = 'y'.repeat(200_000);
  const text = [...LINES.map(([, line]) => line), '', '   ', long, GOOD].join('\r\n');
  for (const bytes of [997, 65_536, 1 << 20]) {
    const answers: string[] = [];
    for await (const line of answerLines(source, chunksOf(text, bytes))) answers.push(line);
    assert.equal(answers.length, LINES.length + 2, 'empty lines get no answer');
    assert.equal(JSON.parse(answers.at(-1)!).chosen.endpoint, '10.244.2.5:8080');
  }
});

test('the command ends silently when its reader closes the pipe', async () => {
  const child = spawn(join(ROOT, 'scripts/kubetun'), ['explain', '--objects', file, '--batch']);
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  child.stdin.on('error', () => {});
  child.stdin.write(`${GOOD}\n`);
  await once(child.stdout, 'data');
  child.stdout.destroy();
  child.stdin.write(`${GOOD}\n`.repeat(2000));
  const [code] = await once(child, 'exit');
  assert.deepEqual([code, said], [0, '']);
});

const MALFORMED: [what: string, object: object, message: RegExp][] = [
  ['no name', { kind: 'Service', spec: {} }, /Service without a name cannot be read/],
  [
    'a number for a map',
    { kind: 'Pod', metadata: { name: 'p' }, status: 5, spec: { containers: 5 } },
    /./,
  ],
  [
    'a number for a list',
    { kind: 'Service', metadata: { name: 's' }, spec: { clusterIP: '10.96.0.9', ports: 5 } },
    /Service s cannot be read/,
  ],
  [
    'null in a list',
    { kind: 'EndpointSlice', metadata: NODES[0]!.metadata, addressType: 'IPv4', endpoints: [null] },
    /EndpointSlice node1|^$/,
  ],
];
for (const [what, object, message] of MALFORMED) {
  test(`refuses objects with ${what} in one line, or ignores them`, () => {
    const { status, stdout, stderr } = spawnSync(
      join(ROOT, 'scripts/kubetun'),
      ['explain', '--objects', fileOf('bad.json', [...NODES, object]), '--batch'],
      { encoding: 'utf8', input: '' },
    );
    rmSync(join(folder, 'bad.json'));
    assert.equal(stdout, '');
    assert.ok(stderr.split('\n').length <= 2, stderr);
    assert.equal(status, stderr === '' ? 0 : 1);
    if (stderr !== '') assert.match(stderr, message);
  });
}

test('reports a folder with the name of a file, and endless aliases', () => {
  const inner = join(folder, 'inner');
  mkdirSync(join(inner, 'dir.yaml'), { recursive: true });
  assert.throws(() => fromFiles([inner], RANGES), { code: 'KT_FILE', message: /EISDIR/ });
  rmSync(join(inner, 'dir.yaml'), { recursive: true });
  const bomb = Array.from({ length: 9 }, (_, n) => {
    const of = n === 0 ? 'x' : `*a${n - 1}`;
    return `a${n}: &a${n} [${new Array(9).fill(of)}]`;
  });
  writeFileSync(join(inner, 'bomb.yaml'), bomb.join('\n'));
  assert.throws(() => fromFiles([inner], RANGES), { code: 'KT_YAML', message: /bomb\.yaml: / });
});
