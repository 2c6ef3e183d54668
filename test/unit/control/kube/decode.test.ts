import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DecodeError, decodeObject } from '../../../../control/kube/decode.ts';
import type { KubeKind } from '../../../../control/kube/kinds.ts';
import { attributesOfModel } from '../../../../control/kube/models.ts';
import { isPlainField } from '../../../../control/kube/plain-fields.ts';

function decode(kind: KubeKind, object: object): unknown {
  const copy = structuredClone(object);
  decodeObject(kind, copy);
  return copy;
}

test('a null means an absent field at every depth', () => {
  const nulls = { labels: null, annotations: null, finalizers: null, creationTimestamp: null };
  const metadata = { name: 'a', ...nulls };
  const container = { name: 'c', env: null, ports: null, resources: null, livenessProbe: null };
  assert.deepEqual(
    decode('Deployment', {
      metadata,
      status: null,
      spec: { replicas: null, template: { metadata, spec: { containers: [container] } } },
    }),
    {
      metadata: { name: 'a' },
      spec: { template: { metadata: { name: 'a' }, spec: { containers: [{ name: 'c' }] } } },
    },
  );
});

test('a null in a list or a map is the zero of its items', () => {
  const labels = JSON.parse('{"a": null, "__proto__": null}') as object;
  const object = decode('Pod', {
    metadata: { labels, finalizers: [null] },
    spec: { containers: [null, { args: [null, 'x'], resources: { limits: { cpu: null } } }] },
  }) as { metadata: { labels: Record<string, string> }; spec: object };
  assert.deepEqual(Object.entries(object.metadata.labels), [
    ['a', ''],
    ['__proto__', ''],
  ]);
  assert.deepEqual(object.spec, {
    containers: [{}, { args: ['', 'x'], resources: { limits: { cpu: '0' } } }],
  });
});

test('removes zeros of plain fields and keeps zeros of pointers', () => {
  const zeros = { type: '', clusterIP: '', publishNotReadyAddresses: false };
  const ports = [{ name: '', port: 0, targetPort: 0, nodePort: 0, protocol: '', appProtocol: '' }];
  assert.deepEqual(decode('Service', { spec: { ...zeros, ports, internalTrafficPolicy: '' } }), {
    spec: { ports: [{ port: 0, appProtocol: '' }], internalTrafficPolicy: '' },
  });
  assert.deepEqual(decode('Deployment', { spec: { replicas: 0, paused: false } }), {
    spec: { replicas: 0 },
  });
});

test('drops and names unknown fields, including own __proto__ fields', () => {
  const object = JSON.parse('{"spec":{"ports":[{"port":1,"prot":2}],"__proto__":{"x":1}},"b":1}');
  assert.deepEqual(decodeObject('Service', object), ['spec.ports[0].prot', 'spec.__proto__', 'b']);
  assert.deepEqual(object, { spec: { ports: [{ port: 1 }] } });
});

test('numbers for quantities become strings', () => {
  const resources = { limits: { cpu: 2, memory: '64Mi' } };
  assert.deepEqual(decode('Pod', { spec: { containers: [{ name: 'c', resources }] } }), {
    spec: { containers: [{ name: 'c', resources: { limits: { cpu: '2', memory: '64Mi' } } }] },
  });
});

const container = (over: object) => ({ spec: { containers: [{ name: 'c', ...over }] } });
const refused: [KubeKind, object, RegExp, field: string][] = [
  [
    'Pod',
    { metadata: 'x' },
    /string into Go struct field Pod\.metadata of type v1\.Obj/,
    'metadata',
  ],
  [
    'Pod',
    { metadata: { labels: { a: 1 } } },
    /cannot unmarshal number into Go struct field ObjectMeta\.metadata\.labels of type string$/,
    'metadata.labels.a',
  ],
  [
    'Pod',
    container({ args: ['a', true] }),
    /bool into Go struct field Container\.spec\.containers\.args of type string$/,
    'spec.containers[0].args[1]',
  ],
  [
    'Pod',
    container({ env: {} }),
    /object into Go struct field Container\.spec\.containers\.env of type \[\]v1\.EnvVar$/,
    'spec.containers[0].env',
  ],
  [
    'Service',
    { spec: { ports: [{ port: 1.5 }] } },
    /number 1\.5 into Go struct field ServicePort\.spec\.ports\.port of type int32$/,
    'spec.ports[0].port',
  ],
  [
    'Deployment',
    { spec: { replicas: 2 ** 31 } },
    /number 2147483648 into .*int32$/,
    'spec.replicas',
  ],
  ['Service', { spec: { ports: [{ targetPort: [] }] } }, /array into/, 'spec.ports[0].targetPort'],
  ['Lease', { spec: { renewTime: 'now' } }, /^parsing time "now"/, 'spec.renewTime'],
  ['Secret', { data: { a: '%' } }, /^illegal base64 data at input byte 0$/, 'data.a'],
  [
    'Pod',
    container({ resources: { limits: { cpu: 'much' } } }),
    /^quantities must match/,
    'spec.containers[0].resources.limits.cpu',
  ],
];

for (const [kind, object, message, field] of refused) {
  test(`refuses a wrong type at ${field} as Go words it`, () => {
    assert.throws(
      () => decodeObject(kind, structuredClone(object)),
      (error: unknown) => {
        assert.ok(error instanceof DecodeError);
        assert.match(error.message, message);
        assert.equal(error.field, field);
        return true;
      },
    );
  });
}

test('the largest int64 is still an int64 after decoding', () => {
  const spec = { terminationGracePeriodSeconds: JSON.parse('9223372036854775807') as number };
  const object = decode('Pod', { spec }) as { spec: typeof spec };
  assert.ok(object.spec.terminationGracePeriodSeconds < 2 ** 63);
});

test('every plain field is a field of its model', () => {
  assert.ok(isPlainField('V1ServiceSpec', 'type'));
  const names = attributesOfModel('V1ServicePort')!.map(({ baseName }) => baseName);
  const plain = names.filter((name) => isPlainField('V1ServicePort', name));
  assert.deepEqual(plain.sort(), ['name', 'nodePort', 'protocol', 'targetPort']);
});

test('a negative zero becomes zero', () => {
  const object = { spec: { replicas: -0 } };
  decodeObject('Deployment', object);
  assert.equal(Object.is(object.spec.replicas, 0), true);
});
