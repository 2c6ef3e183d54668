// Objects with arbitrary values in any field, by every input: they are accepted and readable, or
// refused. KUBETUN_HOSTILE_RUNS=N makes N of each; KUBETUN_HOSTILE_SEED=N selects others.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { columnsOf } from '../../control/apiserver/present/columns.ts';
import { StatusError } from '../../control/apiserver/status.ts';
import { jsonPatch } from '../../control/apiserver/verbs/json-patch.ts';
import { SERVED } from '../../control/apiserver/verbs/kinds.ts';
import { mergePatch, strategicPatch } from '../../control/apiserver/verbs/patch.ts';
import { scaleOf, writeScale } from '../../control/apiserver/verbs/scale.ts';
import { MONOTONIC_CLOCK } from '../../control/clock.ts';
import {
  type ClusterObjects,
  compileArena,
  noObjects,
  tablesOf,
} from '../../control/explain/objects.ts';
import { connectKube } from '../../control/kube/client.ts';
import { decodeObject } from '../../control/kube/decode.ts';
import { KINDS, type KubeKind } from '../../control/kube/kinds.ts';
import { isObject, type KubeObject } from '../../control/kube/object.ts';
import { readPolicyPod } from '../../control/model/pod.ts';
import { Tables } from '../../control/model/tables.ts';
import { followCluster, SOURCES } from '../../control/sync/informers.ts';
import { Publisher } from '../../control/sync/publisher.ts';
import { KubetunError } from '../../datapath/error.ts';
import { parseAddress, parseRange } from '../../datapath/wire/address.ts';
import { checkManifests } from '../../lab/life/check.ts';
import { readManifests } from '../../lab/life/manifest.ts';
import { defaultTopology } from '../../lab/topology/topology.ts';
import {
  type Any,
  baseOf,
  Choices,
  disturb,
  HOSTILE,
  nullsOf,
} from '../support/hostile-objects.ts';
import { RANGES } from '../unit/control/compile/world.ts';
import { kindOf, startWorld, type World } from '../unit/control/controllers/world.ts';
import { FakeApi, until } from '../unit/control/kube/fake-api.ts';
import { node } from '../unit/control/model/objects.ts';
import { FakeSink, fakeLog } from '../unit/control/sync/fake-sink.ts';

const numRuns = Number(process.env.KUBETUN_HOSTILE_RUNS ?? 400);
const seed = Number(process.env.KUBETUN_HOSTILE_SEED ?? 20_261_130);
const numbers = fc.array(fc.nat(), { minLength: 60, maxLength: 60 });
const kinds = fc.constantFrom(...SERVED.map(({ kind }) => kind));
const PATCHES = { merge: mergePatch, strategic: strategicPatch, json: jsonPatch };
type Patch = keyof typeof PATCHES;
const WAYS = [
  ...['create', 'update', 'merge', 'strategic', 'json', 'apply', 'status', 'scale'],
  ...['status-merge', 'status-strategic', 'status-json', 'status-apply'],
  ...['scale-merge', 'scale-strategic', 'scale-json'],
];
const WRITE = { dryRun: false, strict: false, duplicates: [] };
const SOURCES_OF_AGENTS = new Set<string>([...SOURCES, 'Pod', 'Namespace']);
const NAMES = ['one', 'two', 'three'];

/** Writes a corrupted object in one of several ways. */
function write(world: World, kind: (typeof SERVED)[number], way: string, choices: Choices): void {
  const { registry } = world;
  const name = choices.of(NAMES);
  const namespace = kind.namespaced ? 'default' : '';
  const place = { namespace, name };
  const there = registry.store.get(kind.plural, namespace, name);
  if (way !== 'create' && !there) registry.create(kind, namespace, baseOf(kind.kind, name), WRITE);
  const [door, patch] = way.includes('-') ? way.split('-') : ['', way];
  if (door === 'scale' || way === 'scale')
    return writeScaleOf(registry, kind, place, patch!, choices);
  const body = bodyOf(kind.kind, name, choices);
  const isStatus = kind.hasStatus && (door === 'status' || way === 'status');
  if (way === 'create') {
    if (there) registry.remove(kind, place, { gracePeriodSeconds: 0 });
    registry.create(kind, namespace, body, WRITE);
  } else if (way === 'update' || way === 'status') {
    registry.update(kind, place, body, isStatus, WRITE);
  } else if (patch === 'apply') {
    const whole = isObject(body)
      ? { apiVersion: kind.apiVersion, kind: kind.kind, ...body }
      : (body as Any);
    registry.apply(kind, place, whole, isStatus, { ...WRITE, manager: 'me', force: true });
  } else {
    const given = patch === 'json' ? operationsOf(body, choices) : body;
    registry.patch(kind, place, given, isStatus, WRITE, PATCHES[patch as Patch]);
  }
}

/** A corrupted object, or sometimes another value. */
function bodyOf(kind: string, name: string, choices: Choices): Any {
  if (choices.below(40) === 0) return choices.of(HOSTILE)();
  const body = baseOf(kind, name);
  disturb(kind, body, choices);
  // A billion pods are a valid request, and would be created one by one.
  if (body.spec?.replicas > 3 && body.spec.replicas < 2 ** 31) body.spec.replicas = 3;
  return body;
}

/** Operations of a JSON patch: most add a field of `body`, some are malformed. */
function operationsOf(body: Any, choices: Choices): unknown {
  const paths = [
    '',
    '/',
    '/metadata',
    '/spec',
    '/status',
    '/spec/ports/-',
    '/spec/ports/7',
    'x',
    '/a~1b',
  ];
  const fields = isObject(body) ? Object.keys(body) : ['spec'];
  return Array.from({ length: 1 + choices.below(3) }, () => {
    const field = choices.of(fields);
    if (choices.below(3) > 0) return { op: 'add', path: `/${field}`, value: body?.[field] };
    const op = choices.of(['add', 'remove', 'replace', 'copy', 'move', 'test', 'odd']);
    const [path, from] = [choices.of(paths), choices.of(paths)];
    return choices.below(20) === 0 ? choices.of(HOSTILE)() : { op, path, from, value: body };
  });
}

/** Anything that a client may send as a Scale. */
function writeScaleOf(
  registry: World['registry'],
  kind: (typeof SERVED)[number],
  place: { namespace: string; name: string },
  patch: string,
  choices: Choices,
): void {
  if (!kind.hasScale) return;
  const few = (value: Any) =>
    typeof value === 'number' && value > 3 && value < 2 ** 31 ? 3 : value;
  const spec =
    choices.below(4) === 0 ? choices.of(HOSTILE)() : { replicas: few(choices.of(HOSTILE)()) };
  const body: unknown = choices.below(10) === 0 ? choices.of(HOSTILE)() : { spec };
  const given = patch === 'json' ? operationsOf(body, choices) : body;
  const patcher = patch === 'scale' ? undefined : PATCHES[patch as Patch];
  scaleOf(writeScale(registry, kind, place, given, WRITE, patcher) && registry.get(kind, place));
}

/** The results of all readers of an object. Throws a reader's error. */
function readAll(kind: (typeof SERVED)[number], object: KubeObject): void {
  const copy = structuredClone(object);
  assert.deepEqual(decodeObject(kind.kind as KubeKind, copy), []);
  assert.deepEqual(copy, object, 'stored objects are already decoded');
  assert.deepEqual(nullsOf(object), []);
  assert.deepEqual(JSON.parse(JSON.stringify(object)), object, 'the journal restores it unchanged');
  if (kind.hasScale) assert.equal(Number.isInteger(scaleOf(object).spec.replicas), true);
  for (const { cell } of columnsOf(kind.kind as KubeKind)) cell(object);
  for (const field of Object.values(kind.fields)) assert.equal(typeof field(object), 'string');
}

test('random objects are refused, or stored and readable', async () => {
  const world = startWorld((bare) => {
    bare.create('Node', node('node1', '172.18.0.11', '10.244.1.0/24'));
  });
  const skips = () => {
    const events = world.list('Event').filter(({ reason }) => reason === 'ObjectSkipped');
    return events.map(({ involvedObject, message }) => [involvedObject, message]);
  };
  let taken = 0;
  const property = fc.asyncProperty(
    kinds,
    fc.constantFrom(...WAYS),
    numbers,
    async (name, way, given) => {
      const kind = kindOf(name);
      try {
        write(world, kind, way, new Choices(given));
        taken++;
      } catch (error) {
        if (!(error instanceof StatusError)) throw error;
        assert.ok(error.code < 500, `${error.code}: ${error.message}`);
      }
      for (const object of world.store.list(kind.plural)) readAll(kind, object);
      if (SOURCES_OF_AGENTS.has(name)) readAsAgent(world);
      await world.idle();
      assert.deepEqual(skips(), []);
    },
  );
  // Stored objects stay from run to run, so shrinking finds nothing.
  await fc.assert(property, { numRuns, seed, endOnFailure: true });
  assert.ok(taken > numRuns / 10, `${taken} of ${numRuns} were taken`);
  world.controllers.stop();
});

/** An agent's tables, image and policies for all stored objects. */
function readAsAgent({ list }: World): void {
  const objects: ClusterObjects = {
    ...noObjects(),
    nodes: list('Node') as Any,
    pods: (list('Pod') as Any).filter(readPolicyPod),
    services: list('Service') as Any,
    slices: list('EndpointSlice') as Any,
    namespaces: list('Namespace') as Any,
    policies: list('NetworkPolicy') as Any,
  };
  tablesOf('node1', objects);
  compileArena('node1', objects, parseRange('10.96.0.0/16')!, 1);
}

test("random manifests are accepted, or refused with the object's name", () => {
  const folder = mkdtempSync(join(tmpdir(), 'kubetun-hostile-'));
  const file = join(folder, 'objects.yaml');
  const property = fc.property(kinds, numbers, (kind, given) => {
    const { apiVersion } = kindOf(kind);
    const body = baseOf(kind, 'one');
    disturb(kind, body, new Choices(given));
    writeFileSync(file, JSON.stringify({ apiVersion, kind, ...body }));
    try {
      checkManifests(readManifests([file]), defaultTopology());
    } catch (error) {
      if (!(error instanceof KubetunError)) throw error;
      assert.match(error.message, /objects\.yaml:\d+: /);
    }
  });
  fc.assert(property, { numRuns: Math.ceil(numRuns / 3), seed });
  rmSync(folder, { recursive: true });
});

test('an agent accepts random objects of a server, or skips them and reports their names', async () => {
  const api = await FakeApi.start();
  const client = connectKube(api.kubeconfig);
  const sink = new FakeSink();
  const tables = new Tables('node1');
  const [log, clock, sources] = [fakeLog(), MONOTONIC_CLOCK, SOURCES];
  const publisher = new Publisher({
    nodeName: 'node1',
    ranges: RANGES,
    tables,
    sink,
    sources,
    clock,
    log,
  });
  const steered = parseAddress('172.18.0.11')!;
  const informers = followCluster(client, tables, publisher, log, steered, () => {});
  const followed = [
    'Service',
    'EndpointSlice',
    'Node',
    'NetworkPolicy',
    'Pod',
    'Namespace',
  ] as const;
  const samples = fc.sample(fc.tuple(fc.constantFrom(...followed), numbers), { numRuns, seed });
  api.putObject('nodes', node('node1', '172.18.0.11', '10.244.1.0/24'));
  for (const [i, [kind, given]] of samples.entries()) {
    const choices = new Choices(given);
    const body = baseOf(kind, choices.of(NAMES));
    body.metadata.namespace = 'default';
    disturb(kind, body, choices);
    const name = body.metadata?.name;
    // Every object that the server sends has a name.
    if (typeof name !== 'string' || name === '') continue;
    api.putObject(KINDS[kind].plural, body);
    if (i % 50 === 49) await new Promise((done) => setImmediate(done));
  }
  for (const kind of followed) {
    const last = { ...baseOf(kind, 'last'), metadata: { name: 'last', namespace: 'default' } };
    api.putObject(KINDS[kind].plural, last);
  }
  await until('the last of each is seen', () => {
    return tables.services.has('default/last') && tables.nodes.has('last');
  });
  await until('it is published', () => publisher.published);
  for (const informer of informers) informer.stop();
  publisher.stop();
  client.close();
  await api.stop();
  for (const what of Object.keys(publisher.skipped())) {
    assert.match(what, /^\w+ (?:\S+\/)?\S+$/);
  }
});
