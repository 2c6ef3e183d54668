// Validation of the kinds that only clients write: refused fields and their messages.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestApi, type TestApi } from '../../../support/api-server.ts';

let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

const CORE = '/api/v1/namespaces/default';
const NETWORKING = '/apis/networking.k8s.io/v1';
const PATHS: Record<string, string> = {
  ConfigMap: `${CORE}/configmaps`,
  Endpoints: `${CORE}/endpoints`,
  Event: `${CORE}/events`,
  Ingress: `${NETWORKING}/namespaces/default/ingresses`,
  IngressClass: `${NETWORKING}/ingressclasses`,
  Lease: '/apis/coordination.k8s.io/v1/namespaces/default/leases',
  NetworkPolicy: `${NETWORKING}/namespaces/default/networkpolicies`,
  Secret: `${CORE}/secrets`,
  EndpointSlice: '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices',
};

const policy = (rule: object) => ({ spec: { podSelector: {}, ingress: [rule] } });
const peer = (from: object) => policy({ from: [from] });
const port = (row: object) => policy({ ports: [row] });
const backend = { service: { name: 'web', port: { number: 80 } } };
const path = (row: object) => ({
  spec: { rules: [{ http: { paths: [{ path: '/', pathType: 'Prefix', backend, ...row }] } }] },
});
const host = (name: string) => ({ spec: { rules: [{ host: name }] } });
const subset = (row: object) => ({ subsets: [{ addresses: [{ ip: '10.1.1.1' }], ...row }] });
const base64 = (text: string) => Buffer.from(text).toString('base64');
const meta = (metadata: object) => ({ metadata });
const owner = (name: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  name,
  uid: 'u',
  controller: true,
});
const P = 'spec.ingress[0].ports[0]';
const F = 'spec.ingress[0].from[0]';
const H = 'spec.rules[0].http.paths[0]';

/** `message` is the beginning of the reported message. */
const REFUSED: [kind: string, what: object, field: string, message: string][] = [
  [
    'ConfigMap',
    meta({ annotations: { a: 'x'.repeat(256 * 1024) } }),
    'metadata.annotations',
    'Too long: may not be more than 262144 bytes',
  ],
  [
    'ConfigMap',
    meta({ finalizers: ['wait'] }),
    'metadata.finalizers',
    'Invalid value: "wait": name is neither a standard finalizer name nor is it fully qualified',
  ],
  [
    'ConfigMap',
    meta({ ownerReferences: [owner('a'), owner('b')] }),
    'metadata.ownerReferences',
    'Invalid value: [',
  ],
  [
    'ConfigMap',
    meta({ ownerReferences: [{ ...owner('a'), uid: '' }] }),
    'metadata.ownerReferences.uid',
    'Invalid value: "": must not be empty',
  ],
  [
    'NetworkPolicy',
    port({ protocol: 'ICMP' }),
    `${P}.protocol`,
    'Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
  ],
  [
    'NetworkPolicy',
    port({ port: 0 }),
    `${P}.port`,
    'Invalid value: 0: must be between 1 and 65535, inclusive',
  ],
  [
    'NetworkPolicy',
    port({ port: 80, endPort: 79 }),
    `${P}.endPort`,
    'Invalid value: 79: must be greater than or equal to `port`',
  ],
  [
    'NetworkPolicy',
    port({ port: 'http', endPort: 80 }),
    `${P}.endPort`,
    'Invalid value: 80: may not be specified when `port` is non-numeric',
  ],
  [
    'NetworkPolicy',
    port({ endPort: 80 }),
    `${P}.endPort`,
    'Invalid value: 80: may not be specified when `port` is not specified',
  ],
  [
    'NetworkPolicy',
    port({ port: 80, endPort: 70_000 }),
    `${P}.endPort`,
    'Invalid value: 70000: must be between 1 and 65535, inclusive',
  ],
  ['NetworkPolicy', peer({}), F, 'Required value: must specify a peer'],
  [
    'NetworkPolicy',
    peer({ podSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } }),
    F,
    'Forbidden: may not specify both ipBlock and another peer',
  ],
  [
    'NetworkPolicy',
    peer({ ipBlock: { cidr: '10.0.0.0' } }),
    `${F}.ipBlock.cidr`,
    'Invalid value: "10.0.0.0": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
  ],
  [
    'NetworkPolicy',
    peer({ ipBlock: { cidr: '10.0.0.0/8', except: ['10.0.0.0/8'] } }),
    `${F}.ipBlock.except[0]`,
    'Invalid value: "10.0.0.0/8": must be a strict subset of `cidr`',
  ],
  [
    'NetworkPolicy',
    peer({ ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16', '11.0.0.0/16'] } }),
    `${F}.ipBlock.except[1]`,
    'Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`',
  ],
  [
    'NetworkPolicy',
    peer({ podSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] } }),
    `${F}.podSelector.matchExpressions[0].values`,
    "Required value: must be specified when `operator` is 'In' or 'NotIn'",
  ],
  [
    'NetworkPolicy',
    peer({ podSelector: { matchExpressions: [{ key: 'a', operator: 'Exists', values: ['b'] }] } }),
    `${F}.podSelector.matchExpressions[0].values`,
    "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
  ],
  [
    'NetworkPolicy',
    { spec: { podSelector: { matchExpressions: [{ key: 'a', operator: 'Like' }] } } },
    'spec.podSelector.matchExpressions[0].operator',
    'Invalid value: "Like": not a valid selector operator',
  ],
  [
    'NetworkPolicy',
    { spec: { podSelector: {}, policyTypes: ['Both'] } },
    'spec.policyTypes[0]',
    'Unsupported value: "Both": supported values: "Egress", "Ingress"',
  ],
  [
    'Ingress',
    { spec: {} },
    'spec',
    'Invalid value: null: either `defaultBackend` or `rules` must be specified',
  ],
  [
    'Ingress',
    path({ pathType: undefined }),
    `${H}.pathType`,
    'Required value: pathType must be specified',
  ],
  [
    'Ingress',
    path({ pathType: 'Regex' }),
    `${H}.pathType`,
    'Unsupported value: "Regex": supported values: "Exact", "ImplementationSpecific", "Prefix"',
  ],
  ['Ingress', path({ path: 'x' }), `${H}.path`, 'Invalid value: "x": must be an absolute path'],
  [
    'Ingress',
    path({ path: '/a/../b' }),
    `${H}.path`,
    'Invalid value: "/a/../b": must not contain \'/../\'',
  ],
  [
    'Ingress',
    path({ path: '/a/..' }),
    `${H}.path`,
    'Invalid value: "/a/..": cannot end with \'/..\'',
  ],
  [
    'Ingress',
    path({ backend: {} }),
    `${H}.backend`,
    'Invalid value: "": resource or service backend is required',
  ],
  [
    'Ingress',
    path({ backend: { ...backend, resource: { kind: 'A', name: 'b' } } }),
    `${H}.backend`,
    'Invalid value: "": cannot set both resource and service backends',
  ],
  [
    'Ingress',
    path({ backend: { service: { name: 'web' } } }),
    `${H}.backend`,
    'Required value: port name or number is required',
  ],
  [
    'Ingress',
    path({ backend: { service: { name: 'web', port: { name: 'a', number: 1 } } } }),
    `${H}.backend`,
    'Invalid value: "": cannot set both port name & port number',
  ],
  [
    'Ingress',
    host('10.1.1.1'),
    'spec.rules[0].host',
    'Invalid value: "10.1.1.1": must be a DNS name, not an IP address',
  ],
  [
    'Ingress',
    host('a.*.b'),
    'spec.rules[0].host',
    'Invalid value: "a.*.b": a wildcard DNS-1123 subdomain must start with',
  ],
  [
    'Ingress',
    { spec: { defaultBackend: backend, tls: [{ hosts: ['A'] }] } },
    'spec.tls[0].hosts[0]',
    'Invalid value: "A": a lowercase RFC 1123 subdomain',
  ],
  [
    'Ingress',
    {
      metadata: { annotations: { 'kubernetes.io/ingress.class': 'a' } },
      spec: { defaultBackend: backend, ingressClassName: 'a' },
    },
    'metadata.annotations[kubernetes.io/ingress.class]',
    'Invalid value: "a": can not be set when the class field is also set',
  ],
  ['IngressClass', { spec: {} }, 'spec.controller', 'Required value'],
  [
    'IngressClass',
    { spec: { controller: 'x' } },
    'spec.controller',
    'Invalid value: "x": must be a domain-prefixed path (such as "acme.io/foo")',
  ],
  [
    'IngressClass',
    { spec: { controller: 'a.b/c', parameters: { kind: 'K', name: 'n', scope: 'Namespace' } } },
    'spec.parameters.namespace',
    "Required value: `parameters.scope` is set to 'Namespace'",
  ],
  [
    'ConfigMap',
    { data: { 'a b': 'x' } },
    'data[a b]',
    'Invalid value: "a b": a valid config key must consist of',
  ],
  [
    'ConfigMap',
    { data: { a: 'x' }, binaryData: { a: 'eA==' } },
    'data[a]',
    'Invalid value: "a": duplicate of key present in binaryData',
  ],
  [
    'ConfigMap',
    { data: { a: 'x'.repeat(1024 * 1024 + 1) } },
    '[]',
    'Too long: may not be more than 1048576 bytes',
  ],
  [
    'Secret',
    { type: 'kubernetes.io/tls', data: { 'tls.crt': 'eA==' } },
    'data[tls.key]',
    'Required value',
  ],
  ['Secret', { type: 'kubernetes.io/basic-auth' }, 'data[username]', 'Required value'],
  [
    'Secret',
    { type: 'kubernetes.io/dockerconfigjson', data: { '.dockerconfigjson': base64('{') } },
    'data[.dockerconfigjson]',
    'Invalid value: "<secret contents redacted>"',
  ],
  ['Secret', { data: { '..': 'eA==' } }, 'data[..]', 'Invalid value: "..": must not be'],
  [
    'Lease',
    { spec: { leaseDurationSeconds: 0 } },
    'spec.leaseDurationSeconds',
    'Invalid value: 0: must be greater than 0',
  ],
  [
    'Event',
    { involvedObject: { kind: 'Pod', namespace: 'other', name: 'p' } },
    'involvedObject.namespace',
    'Invalid value: "other": does not match event.namespace',
  ],
  [
    'Endpoints',
    { subsets: [{}] },
    'subsets[0]',
    'Required value: must specify `addresses` or `notReadyAddresses`',
  ],
  [
    'Endpoints',
    subset({ addresses: [{ ip: '127.0.0.1' }] }),
    'subsets[0].addresses[0].ip',
    'Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
  ],
  [
    'Endpoints',
    subset({ ports: [{ port: 1 }, { port: 2, name: 'b' }] }),
    'subsets[0].ports[0].name',
    'Required value',
  ],
  [
    'EndpointSlice',
    { addressType: 'IPv4', endpoints: [{ addresses: ['169.254.169.254'] }] },
    'endpoints[0].addresses[0]',
    'Invalid value: "169.254.169.254": may not be in the link-local range',
  ],
];

for (const [kind, what, field, message] of REFUSED) {
  test(`a ${kind} is refused for ${field}: ${message.slice(0, 80)}`, async () => {
    const { metadata, ...rest } = what as { metadata?: object };
    const event = kind === 'Event' ? { involvedObject: {}, metadata: {} } : {};
    const object = { ...event, metadata: { name: 'refused', ...metadata }, ...rest };
    const { code, body } = await api.call('POST', PATHS[kind]!, object);
    assert.equal(code, 422, body.message);
    const cause = body.details.causes.find((c: { field: string }) => c.field === field);
    assert.ok(cause, body.message);
    assert.ok(cause.message.startsWith(message), cause.message);
    assert.equal((await api.call('GET', `${PATHS[kind]}/refused`)).code, 404);
  });
}

test('a policy has type Ingress, and Egress if it has egress rules', async () => {
  const types = async (spec: object) => {
    const object = { metadata: { name: 'p' }, spec };
    const { body } = await api.call('POST', `${PATHS.NetworkPolicy}?dryRun=All`, object);
    return body.spec.policyTypes;
  };
  assert.deepEqual(await types({}), ['Ingress']);
  assert.deepEqual(await types({ egress: [] }), ['Ingress']);
  assert.deepEqual(await types({ egress: [{}] }), ['Ingress', 'Egress']);
  assert.deepEqual(await types({ policyTypes: ['Egress'] }), ['Egress']);
});

test('stringData of a Secret overrides its data', async () => {
  const { body } = await api.call('POST', PATHS.Secret!, {
    metadata: { name: 'texts' },
    ...{ data: { a: base64('old'), b: base64('b') }, stringData: { a: 'new' } },
  });
  assert.equal(body.type, 'Opaque');
  assert.deepEqual(body.data, { a: base64('new'), b: base64('b') });
  assert.equal(body.stringData, undefined);
});

for (const [text, at] of [
  ['a-b=', 1],
  ['abc', 0],
  ['YWJjZA', 4],
]) {
  test(`a Secret whose data is not base64 (${text}) is a bad request`, async () => {
    const object = { metadata: { name: 'odd' }, data: { a: text } };
    const { code, body } = await api.call('POST', PATHS.Secret!, object);
    assert.equal(code, 400);
    assert.equal(
      body.message,
      `Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte ${at}`,
    );
  });
}

test('the type of a Secret and the controller of an IngressClass do not change', async () => {
  for (const [kind, first, second] of [
    ['Secret', { type: 'a/b' }, { type: 'a/c' }],
    ['IngressClass', { spec: { controller: 'a.b/c' } }, { spec: { controller: 'a.b/d' } }],
  ] as [string, object, object][]) {
    const metadata = { name: 'kept' };
    await api.call('POST', PATHS[kind]!, { metadata, ...first });
    const { code, body } = await api.call('PUT', `${PATHS[kind]}/kept`, { metadata, ...second });
    assert.equal(code, 422);
    assert.match(body.message, /field is immutable/);
  }
});

for (const kind of ['ConfigMap', 'Secret']) {
  test(`an immutable ${kind} can change only its metadata`, async () => {
    const object = { metadata: { name: 'fixed' }, immutable: true, data: { a: 'eA==' } };
    await api.call('POST', PATHS[kind]!, object);
    const place = `${PATHS[kind]}/fixed`;
    for (const change of [{ data: { a: 'eQ==' } }, { immutable: false }, { data: {} }]) {
      const { code, body } = await api.call('PUT', place, { ...object, ...change });
      assert.equal(code, 422, body.message);
      assert.match(body.message, /Forbidden: field is immutable when `immutable` is set/);
    }
    const labelled = { ...object, metadata: { name: 'fixed', labels: { a: 'b' } } };
    assert.equal((await api.call('PUT', place, labelled)).code, 200);
  });
}
