// Every kubectl of the machine creates the same objects, in JSON or protobuf, and reads every kind.
// Needs no root: the server is on loopback.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { SERVED } from '../../../control/apiserver/verbs/kinds.ts';
import { startTestApi, type TestApi } from '../../support/api-server.ts';
import { describeEach, Kubectl } from './kubectl.ts';

/** Older versions lack fieldValidation and the format that explain reads. */
const MINOR_MIN = 27;
const OWN = new Set([
  ...['uid', 'resourceVersion', 'creationTimestamp', 'managedFields', 'namespace', 'status'],
  ...['controller-uid', 'batch.kubernetes.io/controller-uid'],
]);

/** Arguments of `create`; NAME is different each time. */
const MADE = [
  'configmap NAME --from-literal=a=b --from-literal=empty=',
  'secret generic NAME --from-literal=a=b --type=example.com/t',
  'secret docker-registry NAME --docker-username=a --docker-password=b',
  'service clusterip NAME --tcp=80:8080 --tcp=443:https',
  'service clusterip NAME --clusterip=None',
  'service nodeport NAME --tcp=80',
  'service loadbalancer NAME --tcp=80',
  'service externalname NAME --external-name=example.com --tcp=80',
  'serviceaccount NAME',
  'deployment NAME --image=pause --replicas=0 --port=80',
  'deployment NAME --image=registry.k8s.io/e2e-test-images/agnhost:2.47 -- /agnhost netexec',
  'job NAME --image=busybox -- echo hi',
  'cronjob NAME --image=busybox --schedule=@hourly -- echo hi',
  'ingress NAME --class=c --rule=a.example/x*=s:http,tls=t --default-backend=s:80 --annotation=a=b',
];

/** Without the fields that are unique to an object. */
function bare(text: string): unknown {
  return JSON.parse(text, (key, value) => {
    if (OWN.has(key) || value === null) return undefined;
    const isGiven = ['clusterIP', 'clusterIPs', 'nodePort'].includes(key);
    return isGiven && String(value) !== 'None' ? undefined : value;
  });
}

/** The object that the first kubectl created, by the index of its arguments. */
const first = new Map<number, unknown>();

describeEach('objects that kubectl creates', MINOR_MIN, (binary) => {
  let api: TestApi;
  let kubectl: Kubectl;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kubetun-generators-'));
    api = await startTestApi();
    kubectl = new Kubectl(binary, api.kubeconfig);
    await kubectl.ok(['create', 'namespace', kubectl.namespace]);
  });
  after(async () => {
    kubectl.close();
    await api.close();
    await rm(folder, { recursive: true });
  });

  for (const [i, line] of MADE.entries()) {
    test(`create ${line}`, async () => {
      const name = `made-${i}`;
      const words = line.split(' ');
      await kubectl.ok(['create', ...words.map((word) => (word === 'NAME' ? name : word))]);
      const made = bare(await kubectl.ok(['get', words[0]!, name, '-o', 'json']));
      if (!first.has(i)) first.set(i, made);
      assert.deepEqual(made, first.get(i));
    });
  }

  test('explain describes every kind, down to its fields', async () => {
    for (const { plural, kind } of SERVED) {
      const told = await kubectl.ok(['explain', plural, '--recursive']);
      assert.match(told, new RegExp(`^KIND: +${kind}$`, 'm'));
      assert.match(told, /metadata\t<ObjectMeta>/);
    }
    const field = ['explain', 'networkpolicies.spec.ingress.from.ipBlock.except'];
    assert.match(await kubectl.ok(field), /outside the cidr range/);
  });

  test('an unknown field is refused, warned of or dropped, as requested', async () => {
    const path = join(folder, 'odd.yaml');
    writeFileSync(path, 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: odd}\ndat: {}\n');
    const strict = await kubectl.run(['create', '-f', path]);
    assert.match(strict.stderr, /strict decoding error: unknown field "dat"/);
    const warned = await kubectl.run(['create', '-f', path, '--validate=warn']);
    assert.equal(warned.stderr, 'Warning: unknown field "dat"\n');
    assert.equal(warned.code, 0);
    await kubectl.ok(['delete', 'configmap', 'odd']);
    await kubectl.ok(['create', '-f', path, '--validate=ignore']);
  });

  test('a dry run of a delete deletes nothing', async () => {
    await kubectl.ok(['create', 'configmap', 'kept']);
    await kubectl.ok(['delete', 'configmap', 'kept', '--dry-run=server']);
    await kubectl.ok(['get', 'configmap', 'kept']);
  });

  test('a list in pages equals the whole list', async () => {
    const names = async (size: string) =>
      kubectl.ok([
        'get',
        'configmaps,services,secrets',
        '-A',
        '-o',
        'name',
        `--chunk-size=${size}`,
      ]);
    assert.equal(await names('2'), await names('0'));
  });
});
