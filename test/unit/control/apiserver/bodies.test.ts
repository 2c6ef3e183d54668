// Request bodies in each format, and the warnings or errors for unknown fields.
import assert from 'node:assert/strict';
import { request } from 'node:https';
import { after, before, test } from 'node:test';
import { duplicateFields } from '../../../../control/apiserver/http/duplicates.ts';
import { startTestApi, type TestApi } from '../../../support/api-server.ts';

const CONFIGMAPS = '/api/v1/namespaces/default/configmaps';
const DEPLOYMENTS = '/apis/apps/v1/namespaces/default/deployments';
const PROTOBUF = 'application/vnd.kubernetes.protobuf';
const YAML = 'application/yaml';
let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

/** Sends bytes as they are. */
function send(
  path: string,
  type: string,
  body: string | Buffer,
  method = 'POST',
  // biome-ignore lint/suspicious/noExplicitAny: the tests check the answer.
): Promise<{ code: number; warnings: string; body: any }> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${api.token}`, 'content-type': type };
    const { port, ca } = api;
    const options = { host: '127.0.0.1', port, ca, method, path, headers, agent: false as const };
    const outgoing = request(options, async (response) => {
      let text = '';
      for await (const chunk of response) text += chunk;
      const warnings = response.headers.warning ?? '';
      resolve({ code: response.statusCode!, warnings, body: JSON.parse(text) });
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

const MAP = 'kind: ConfigMap\nmetadata: {name: NAME}\n';

test('an object can be YAML, read as Go reads it', async () => {
  const text = `${MAP.replace('NAME', 'yaml')}immutable: yes\ndata: {at: 2026-01-01, port: "1"}\n`;
  const { code, body } = await send(CONFIGMAPS, YAML, text);
  assert.equal(code, 201, body.message);
  assert.deepEqual(body.data, { at: '2026-01-01', port: '1' });
  assert.equal(body.immutable, true);
});

test('invalid YAML and an alias bomb are refused', async () => {
  for (const text of [
    'a: [',
    `a: &a [x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nd: [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]`,
  ]) {
    const { code, body } = await send(CONFIGMAPS, YAML, text);
    assert.equal(code, 400);
    assert.match(body.message, /is not YAML/);
  }
});

const TWICE = [
  {
    type: 'application/json',
    body: '{"metadata":{"name":"twice-json"},"data":{"a":"1","a":"2"},"dat":{}}',
    problems: ['unknown field "dat"', 'duplicate field "data.a"'],
  },
  {
    type: YAML,
    body: 'metadata: {name: twice-yaml}\ndata:\n  a: "1"\n  a: "2"\ndat: {}\n',
    problems: ['unknown field "dat"', 'line 4: key "a" already set in map'],
  },
];

for (const { type, body, problems } of TWICE) {
  test(`unknown and duplicate fields in ${type}: refused, warned of, or ignored`, async () => {
    const strict = await send(`${CONFIGMAPS}?fieldValidation=Strict`, type, body);
    assert.equal(strict.code, 400);
    assert.equal(
      strict.body.message,
      `ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: ${problems.join(', ')}`,
    );
    const silent = await send(`${CONFIGMAPS}?fieldValidation=Ignore&dryRun=All`, type, body);
    assert.equal(silent.code, 201);
    assert.equal(silent.warnings, '');
    for (const query of ['?fieldValidation=Warn&dryRun=All', '']) {
      const warned = await send(`${CONFIGMAPS}${query}`, type, body);
      assert.equal(warned.code, 201);
      const expected = problems.map((text) => `299 - "${text.replaceAll('"', '\\"')}"`).join(', ');
      assert.equal(warned.warnings, expected);
      assert.equal(warned.body.dat, undefined, 'dropped');
      assert.equal(warned.body.data.a, '2', 'the last one counts');
    }
  });
}

test('a body that is too deep is a bad request in both formats', async () => {
  const deep = `{"metadata":{"name":"deep"},"data":${'['.repeat(20_000)}${']'.repeat(20_000)}}`;
  for (const type of ['application/json', YAML]) {
    assert.equal((await send(CONFIGMAPS, type, deep)).code, 400, type);
  }
});

test('names with a meaning in JavaScript are plain names', async () => {
  const text =
    '{"metadata":{"name":"odd"},"data":{"constructor":"a","__proto__":"b","toString":"c"}}';
  const { code, body } = await send(CONFIGMAPS, 'application/json', text);
  assert.equal(code, 201, body.message);
  const expected = [
    ['constructor', 'a'],
    ['__proto__', 'b'],
    ['toString', 'c'],
  ];
  assert.deepEqual(Object.entries(body.data), expected);
});

test('a patch with unknown or duplicate fields is refused as a patch', async () => {
  await send(CONFIGMAPS, 'application/json', '{"metadata":{"name":"patched"}}');
  const place = `${CONFIGMAPS}/patched?fieldValidation=Strict`;
  const patch = '{"data":{"a":"1","a":"2"},"dat":{}}';
  const { code, body } = await send(place, 'application/merge-patch+json', patch, 'PATCH');
  assert.equal(code, 422);
  assert.equal(
    body.message,
    ' "" is invalid: patch: Invalid value: "{\\"data\\":{\\"a\\":\\"2\\"},\\"dat\\":{}}": strict decoding error: unknown field "dat", duplicate field "data.a"',
  );
});

test('paths of duplicates include list indexes; braces in strings have no effect', () => {
  const text =
    '{"a":[{"b":1},{"b":1,"b":{"c":"{\\"x\\":1,\\"x\\":2}","\\u0063":2}}],"d":"a","e":"a"}';
  assert.deepEqual(duplicateFields(text), ['a[1].b', 'a[1].b.c']);
});

test('an unknown fieldValidation or dryRun is refused with the known ones', async () => {
  const { code, body } = await send(`${CONFIGMAPS}?fieldValidation=Loose`, YAML, 'a: 1');
  assert.equal(code, 422);
  assert.equal(
    body.message,
    'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Loose": supported values: "Ignore", "Strict", "Warn"',
  );
  assert.equal((await send(`${CONFIGMAPS}?dryRun=Some`, YAML, 'a: 1')).code, 422);
});

/** Requests of kubectl 1.33 in protobuf, and the same objects in JSON from kubectl 1.31. */
const CAUGHT: [path: string, hex: string, same: object][] = [
  [
    '/api/v1/namespaces',
    '6b3873000a0f0a02763112094e616d657370616365121a0a120a026e3112001a0022002a0032003800420012001a020a001a002200',
    {
      kind: 'Namespace',
      apiVersion: 'v1',
      metadata: { name: 'n1', creationTimestamp: null },
      spec: {},
      status: {},
    },
  ],
  [
    CONFIGMAPS,
    '6b3873000a0f0a0276311209436f6e6669674d617012250a110a016312001a0022002a0032003800420012060a016112016212080a01661203613d621a002200',
    {
      kind: 'ConfigMap',
      apiVersion: 'v1',
      metadata: { name: 'c', creationTimestamp: null },
      data: { a: 'b', f: 'a=b' },
    },
  ],
  [
    '/api/v1/namespaces/default/secrets',
    '6b3873000a0c0a0276311206536563726574121d0a110a017312001a0022002a0032003800420012060a01611201621a001a002200',
    {
      kind: 'Secret',
      apiVersion: 'v1',
      metadata: { name: 's', creationTimestamp: null },
      data: { a: 'Yg==' },
    },
  ],
  [
    '/api/v1/namespaces/default/services',
    '6b3873000a0d0a02763112075365727669636512610a1d0a02736e12001a0022002a003200380042005a090a036170701202736e123c0a170a023830120354435018502206080010501a0028b1ea0112090a036170701202736e1a0022084e6f6465506f72743a00420052005a00600068001a020a001a002200',
    {
      kind: 'Service',
      apiVersion: 'v1',
      metadata: { name: 'sn', creationTimestamp: null, labels: { app: 'sn' } },
      spec: {
        ports: [{ name: '80', protocol: 'TCP', port: 80, targetPort: 80, nodePort: 30001 }],
        selector: { app: 'sn' },
        type: 'NodePort',
      },
      status: { loadBalancer: {} },
    },
  ],
  [
    '/api/v1/namespaces/default/services',
    '6b3873000a0d0a027631120753657276696365124d0a1d0a02736812001a0022002a003200380042005a090a0361707012027368122812090a03617070120273681a044e6f6e652209436c757374657249503a00420052005a00600068001a020a001a002200',
    {
      kind: 'Service',
      apiVersion: 'v1',
      metadata: { name: 'sh', creationTimestamp: null, labels: { app: 'sh' } },
      spec: { selector: { app: 'sh' }, clusterIP: 'None', type: 'ClusterIP' },
      status: { loadBalancer: {} },
    },
  ],
  [
    DEPLOYMENTS,
    '6b3873000a150a07617070732f7631120a4465706c6f796d656e7412bb010a1b0a016412001a0022002a003200380042005a080a03617070120164128d010800120a0a080a036170701201641a750a1a0a0012001a0022002a003200380042005a080a03617070120164125712390a057061757365120570617573651a0273681a022d631a01782a00320a0a001000185022002a0042006a007200800100880100900100a201001a00320042004a0052005800600068008201008a01009a0100c2010022020a00280038001a0c0800100018002000280038001a002200',
    {
      kind: 'Deployment',
      apiVersion: 'apps/v1',
      metadata: { name: 'd', creationTimestamp: null, labels: { app: 'd' } },
      spec: {
        replicas: 0,
        selector: { matchLabels: { app: 'd' } },
        template: {
          metadata: { creationTimestamp: null, labels: { app: 'd' } },
          spec: {
            containers: [
              {
                name: 'pause',
                image: 'pause',
                command: ['sh', '-c', 'x'],
                ports: [{ containerPort: 80 }],
                resources: {},
              },
            ],
          },
        },
        strategy: {},
      },
      status: {},
    },
  ],
  [
    '/apis/networking.k8s.io/v1/namespaces/default/ingresses',
    '6b3873000a1f0a146e6574776f726b696e672e6b38732e696f2f76311207496e677265737312660a190a016912001a0022002a0032003800420062060a016112016212450a0b22090a017312040a00105012080a03612e621201741a290a03612e6212220a200a1e0a022f781210220e0a02736312080a046874747010001a0650726566697822016e1a020a001a002200',
    {
      kind: 'Ingress',
      apiVersion: 'networking.k8s.io/v1',
      metadata: { name: 'i', creationTimestamp: null, annotations: { a: 'b' } },
      spec: {
        ingressClassName: 'n',
        defaultBackend: { service: { name: 's', port: { number: 80 } } },
        tls: [{ hosts: ['a.b'], secretName: 't' }],
        rules: [
          {
            host: 'a.b',
            http: {
              paths: [
                {
                  path: '/x',
                  pathType: 'Prefix',
                  backend: { service: { name: 'sc', port: { name: 'http' } } },
                },
              ],
            },
          },
        ],
      },
      status: { loadBalancer: {} },
    },
  ],
];

for (const [path, hex, same] of CAUGHT) {
  const { kind } = same as { kind: string };
  test(`a ${kind} in protobuf is stored like the same object in JSON`, async () => {
    const binary = await send(`${path}?dryRun=All`, PROTOBUF, Buffer.from(hex, 'hex'));
    assert.equal(binary.code, 201, binary.body.message);
    // Go writes a time that was never set as null in JSON, and not at all in protobuf.
    const json = JSON.stringify(same, (_, value) => (value === null ? undefined : value));
    const text = await send(`${path}?dryRun=All`, 'application/json', json);
    assert.equal(text.code, 201, text.body.message);
    for (const { body } of [binary, text]) {
      for (const field of ['uid', 'creationTimestamp']) delete body.metadata[field];
      for (const entry of body.metadata.managedFields) delete entry.time;
      // Each Service gets a different address.
      for (const field of ['clusterIP', 'clusterIPs']) {
        if (body.spec?.[field] !== 'None') delete body.spec?.[field];
      }
    }
    assert.deepEqual(binary.body, text.body);
  });
}

const DEPLOYMENT = CAUGHT.find(([path]) => path === DEPLOYMENTS)![1];

test('a truncated or invalid message is a bad request', async () => {
  for (const hex of [
    DEPLOYMENT.slice(0, -40),
    '6b387300ff',
    '00',
    DEPLOYMENT.replace('6b38', '6b39'),
  ]) {
    const { code, body } = await send(DEPLOYMENTS, PROTOBUF, Buffer.from(hex, 'hex'));
    assert.equal(code, 400);
    assert.equal(body.reason, 'BadRequest');
  }
});

test('an unknown protobuf field is refused by number', async () => {
  // Changes the number of the ConfigMap's last field from 2 to 15.
  const hex = CAUGHT.find(([path]) => path === CONFIGMAPS)![1].replace(/12(060a0161)/, '7a$1');
  const { code, body } = await send(CONFIGMAPS, PROTOBUF, Buffer.from(hex, 'hex'));
  assert.equal(code, 400);
  assert.match(
    body.message,
    /^ConfigMap has the unknown protobuf field 15 \(ConfigMap\): send the object as JSON/,
  );
});

test('refusals of protobuf kinds and unknown formats name the next step', async () => {
  const node = Buffer.from('6b3873000a0a0a0276311204', 'hex');
  const unread = await send(
    '/api/v1/nodes',
    PROTOBUF,
    Buffer.concat([node, Buffer.from('Node\x12\0')]),
  );
  assert.equal(unread.code, 415);
  assert.equal(
    unread.body.message,
    'this server does not read a Node in protobuf: send it as application/json',
  );
  const odd = await send('/api/v1/nodes', 'text/plain', 'x');
  assert.equal(odd.code, 415);
  assert.match(
    odd.body.message,
    /application\/json, application\/yaml, application\/vnd.kubernetes.protobuf$/,
  );
});
