// Validation of Services: refused fields and their messages, and defaults, on create and on update.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { service, startTestApi, type TestApi } from '../../../../support/api-server.ts';

const SERVICES = '/api/v1/namespaces/default/services';
const MERGE = { 'content-type': 'application/merge-patch+json' };
let api: TestApi;
let count = 0;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

const post = (name: string, spec: object) => api.call('POST', SERVICES, service(name, spec));
const patch = (name: string, spec: object) =>
  api.call('PATCH', `${SERVICES}/${name}`, { spec }, MERGE);

const port = (name: string, number: number, over: object = {}) => ({ name, port: number, ...over });
const LABEL_HINT =
  'a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters';
const LOOPBACK = 'may not be in the loopback range (127.0.0.0/8, ::1/128)';

/** The beginning of the message is enough. */
const REFUSED: [spec: object, field: string, message: string][] = [
  [
    {
      type: 'NodePort',
      ports: [port('a', 80, { nodePort: 30_054 }), port('b', 81, { nodePort: 30_054 })],
    },
    'spec.ports[1].nodePort',
    'Duplicate value: 30054',
  ],
  [
    {
      type: 'LoadBalancer',
      ports: [port('a', 80, { nodePort: 30_055 }), port('b', 81, { nodePort: 30_055 })],
    },
    'spec.ports[1].nodePort',
    'Duplicate value: 30055',
  ],
  [
    { ports: [port('a', 80), port('b', 80)] },
    'spec.ports[1]',
    'Duplicate value: {"port":80,"protocol":"TCP"}',
  ],
  [{ ports: [port('a', 80), port('a', 81)] }, 'spec.ports[1].name', 'Duplicate value: "a"'],
  [
    { ports: [port('a', 80, { nodePort: 30_001 })] },
    'spec.ports[0].nodePort',
    "Forbidden: may not be used when `type` is 'ClusterIP'",
  ],
  [
    { ports: [{ port: 80, appProtocol: '/x' }] },
    'spec.ports[0].appProtocol',
    'Invalid value: "/x"',
  ],
  [
    { type: 'LoadBalancer', ports: [{ port: 10_250 }] },
    'spec.ports[0]',
    'Invalid value: 10250: may not expose port 10250 externally since it is used by kubelet',
  ],
  [
    {
      type: 'LoadBalancer',
      externalTrafficPolicy: 'Local',
      healthCheckNodePort: 30_056,
      ports: [{ port: 80, nodePort: 30_056 }],
    },
    'spec.ports[0].nodePort',
    'Invalid value: 30056: provided port is already allocated',
  ],
  [
    { healthCheckNodePort: 30_057 },
    'spec.healthCheckNodePort',
    "Invalid value: 30057: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
  ],
  [
    { ipFamilyPolicy: 'RequireDualStack' },
    'spec.ipFamilyPolicy',
    'Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services',
  ],
  [
    { ipFamilies: ['IPv6'] },
    'spec.ipFamilies[0]',
    'Invalid value: "IPv6": not configured on this cluster',
  ],
  [
    { ipFamilyPolicy: 'PreferDualStack', ipFamilies: ['IPv4', 'IPv6'] },
    'spec.ipFamilies[1]',
    'Invalid value: "IPv6": not configured on this cluster',
  ],
  [
    { ipFamilyPolicy: 'DualStack' },
    'spec.ipFamilyPolicy',
    'Unsupported value: "DualStack": supported values: "PreferDualStack", "RequireDualStack", "SingleStack"',
  ],
  [
    { ipFamilies: ['IPv5'] },
    'spec.ipFamilies[0]',
    'Unsupported value: "IPv5": supported values: "IPv4", "IPv6"',
  ],
  [{ ipFamilies: ['IPv4', 'IPv4'] }, 'spec.ipFamilies[1]', 'Duplicate value: "IPv4"'],
  [
    { ipFamilies: ['IPv4', 'IPv6'] },
    'spec.ipFamilyPolicy',
    `Invalid value: "SingleStack": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified`,
  ],
  [
    { clusterIP: '10.96.3.1', clusterIPs: ['10.96.3.1', 'fd00::1'] },
    'spec.clusterIPs[1]',
    'Invalid value: ["10.96.3.1","fd00::1"]: IPv6 is not configured on this cluster',
  ],
  [
    { clusterIP: 'fd00::1' },
    'spec.clusterIPs[0]',
    'Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster',
  ],
  [
    { clusterIP: 'fd00::1', ipFamilies: ['IPv4'] },
    'spec.clusterIPs[0]',
    'Invalid value: "fd00::1": expected an IPv4 value as indicated by `ipFamilies[0]`',
  ],
  [
    { clusterIP: '10.96.3.1', clusterIPs: ['10.96.3.1', '10.96.3.2'] },
    'spec.clusterIPs',
    'Invalid value: ["10.96.3.1","10.96.3.2"]: may specify no more than one IP for each IP family',
  ],
  [
    { clusterIP: '10.96.3.1', clusterIPs: ['10.96.3.2'] },
    'spec.clusterIPs',
    'Invalid value: ["10.96.3.2"]: first value must match `clusterIP`',
  ],
  [
    { clusterIPs: ['10.96.3.2'] },
    'spec.clusterIPs',
    'Invalid value: ["10.96.3.2"]: must be empty when `clusterIP` is not specified',
  ],
  [
    { clusterIP: 'None', clusterIPs: ['None', '10.96.3.2'] },
    'spec.clusterIPs',
    `Invalid value: ["None","10.96.3.2"]: 'None' must be the first and only value`,
  ],
  [{ clusterIP: 'x' }, 'spec.clusterIPs[0]', 'Invalid value: "x": must be a valid IP address'],
  [
    { clusterIP: 'None', type: 'NodePort' },
    'spec.clusterIPs[0]',
    `Invalid value: "None": may not be set to 'None' for NodePort services`,
  ],
  [
    { externalIPs: ['127.0.0.1'] },
    'spec.externalIPs[0]',
    `Invalid value: "127.0.0.1": ${LOOPBACK}`,
  ],
  [
    { externalIPs: ['::ffff:127.0.0.1'] },
    'spec.externalIPs[0]',
    `Invalid value: "::ffff:127.0.0.1": ${LOOPBACK}`,
  ],
  [
    { externalIPs: ['192.0.2.1', '0.0.0.0'] },
    'spec.externalIPs[1]',
    'Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0 or ::)',
  ],
  [
    { externalIPs: ['169.254.169.254'] },
    'spec.externalIPs[0]',
    'Invalid value: "169.254.169.254": may not be in the link-local range (169.254.0.0/16, fe80::/10)',
  ],
  [
    { externalIPs: ['224.0.0.1'] },
    'spec.externalIPs[0]',
    'Invalid value: "224.0.0.1": may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)',
  ],
  [
    { externalIPs: ['239.1.1.1'] },
    'spec.externalIPs[0]',
    'Invalid value: "239.1.1.1": may not be in the multicast range',
  ],
  [
    { externalIPs: ['a.b'] },
    'spec.externalIPs[0]',
    'Invalid value: "a.b": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
  ],
  [
    { externalTrafficPolicy: 'Local' },
    'spec.externalTrafficPolicy',
    'Invalid value: "Local": may only be set for externally-accessible services',
  ],
  [
    { loadBalancerClass: 'a/b' },
    'spec.loadBalancerClass',
    "Forbidden: may only be used when `type` is 'LoadBalancer'",
  ],
  [
    { allocateLoadBalancerNodePorts: false },
    'spec.allocateLoadBalancerNodePorts',
    "Forbidden: may only be used when `type` is 'LoadBalancer'",
  ],
  [
    { type: 'LoadBalancer', loadBalancerSourceRanges: ['10.0.0.0/8', '10.1.1.1'] },
    'spec.LoadBalancerSourceRanges[1]',
    'Invalid value: "10.1.1.1": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
  ],
  [{ trafficDistribution: 'Near' }, 'spec.trafficDistribution', 'Unsupported value: "Near"'],
  [{ type: 'ExternalName' }, 'spec.externalName', 'Required value'],
  [
    { type: 'ExternalName', externalName: 'A_b' },
    'spec.externalName',
    `Invalid value: "A_b": ${LABEL_HINT}`,
  ],
  [
    { type: 'ExternalName', externalName: 'a.b', clusterIP: '10.96.3.3' },
    'spec.clusterIPs',
    'Forbidden: may not be set for ExternalName services',
  ],
  [
    { type: 'ExternalName', externalName: 'a.b', ipFamilies: ['IPv4'] },
    'spec.ipFamilies',
    'Forbidden: may not be set for ExternalName services',
  ],
];

for (const [spec, field, message] of REFUSED) {
  test(`${JSON.stringify(spec)}: ${field} is refused, and nothing is stored`, async () => {
    const name = `refused-${count++}`;
    const { code, body } = await post(name, spec);
    assert.equal(code, 422, JSON.stringify(body));
    assert.deepEqual(
      body.details.causes.map((cause: { field: string }) => cause.field),
      [field],
    );
    assert.ok(body.details.causes[0].message.startsWith(message), body.details.causes[0].message);
    assert.equal((await api.call('GET', `${SERVICES}/${name}`)).code, 404);
  });
}

test('an update refuses what a create refuses, and the Service stays unchanged', async () => {
  const { body: made } = await post('changed', {});
  for (const [spec, field] of REFUSED) {
    // An update keeps the address that the Service has.
    if ('clusterIP' in spec || 'clusterIPs' in spec) continue;
    // A change of the type drops unchanged families.
    if ('externalName' in spec && 'ipFamilies' in spec) continue;
    const { code, body } = await patch('changed', spec);
    assert.equal(code, 422, JSON.stringify([spec, body]));
    // The address of the Service is IPv4, so the refused field is another one.
    const isMoved = JSON.stringify(spec) === '{"ipFamilies":["IPv6"]}';
    assert.equal(body.details.causes[0].field, isMoved ? 'spec.clusterIPs[0]' : field);
  }
  const { body: left } = await api.call('GET', `${SERVICES}/changed`);
  assert.deepEqual(left, made);
});

/** The stored values of some fields. */
const FILLED: [what: string, spec: object, filled: object][] = [
  [
    'plain',
    {},
    { ipFamilies: ['IPv4'], ipFamilyPolicy: 'SingleStack', internalTrafficPolicy: 'Cluster' },
  ],
  [
    'prefer',
    { ipFamilyPolicy: 'PreferDualStack' },
    { ipFamilies: ['IPv4'], ipFamilyPolicy: 'PreferDualStack' },
  ],
  [
    'headless',
    { clusterIP: 'None' },
    { ipFamilies: ['IPv4'], ipFamilyPolicy: 'SingleStack', clusterIPs: ['None'] },
  ],
  [
    'bare',
    { clusterIP: 'None', selector: undefined },
    { ipFamilies: ['IPv4', 'IPv6'], ipFamilyPolicy: 'RequireDualStack', clusterIPs: ['None'] },
  ],
  [
    'bare-six',
    { clusterIP: 'None', selector: undefined, ipFamilies: ['IPv6'] },
    { ipFamilies: ['IPv6', 'IPv4'], ipFamilyPolicy: 'RequireDualStack' },
  ],
  [
    'bare-single',
    { clusterIP: 'None', selector: undefined, ipFamilyPolicy: 'SingleStack' },
    { ipFamilies: ['IPv4'], ipFamilyPolicy: 'SingleStack' },
  ],
  [
    'named',
    { type: 'ExternalName', externalName: 'example.com.' },
    {
      ipFamilies: undefined,
      ipFamilyPolicy: undefined,
      internalTrafficPolicy: undefined,
      clusterIP: undefined,
    },
  ],
  ['external', { externalIPs: ['192.0.2.7', '2001:db8::7'] }, { externalTrafficPolicy: 'Cluster' }],
];

for (const [name, spec, filled] of FILLED) {
  test(`${name}: families and policies get the defaults of an IPv4 cluster`, async () => {
    const { code, body } = await post(name, spec);
    assert.equal(code, 201, JSON.stringify(body));
    for (const [field, value] of Object.entries(filled))
      assert.deepEqual(body.spec[field], value, field);
    // Naming one of its two families would release the other, which needs another policy.
    if (name === 'bare-six') return;
    const { metadata } = body;
    const again = {
      ...service(name, spec),
      metadata: { name, resourceVersion: metadata.resourceVersion },
    };
    const { body: put } = await api.call('PUT', `${SERVICES}/${name}`, again);
    assert.deepEqual(put.spec, body.spec, 'a PUT of the same manifest changes nothing');
  });
}

test('a change of the type removes and adds the fields of the type', async () => {
  const { body: made } = await post('turns', {
    ...{ type: 'LoadBalancer', externalTrafficPolicy: 'Local', loadBalancerClass: 'example.com/x' },
  });
  assert.ok(made.spec.healthCheckNodePort);
  const { code, body } = await patch('turns', { type: 'ClusterIP' });
  assert.equal(code, 200, JSON.stringify(body));
  for (const field of ['healthCheckNodePort', 'externalTrafficPolicy', 'loadBalancerClass']) {
    assert.equal(body.spec[field], undefined, field);
  }
  assert.equal(body.spec.clusterIP, made.spec.clusterIP);
  const named = await patch('turns', { type: 'ExternalName', externalName: 'example.com' });
  assert.equal(named.code, 200, JSON.stringify(named.body));
  assert.equal(named.body.spec.clusterIP, undefined);
  assert.equal(named.body.spec.ipFamilies, undefined);
  const back = await patch('turns', { type: 'ClusterIP', externalName: null });
  assert.match(back.body.spec.clusterIP, /^10\.96\./);
  assert.deepEqual(back.body.spec.ipFamilies, ['IPv4']);
});

test('a load balancer that has a class or a health port cannot change it', async () => {
  const spec = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', loadBalancerClass: 'a.b/c' };
  const { body: made } = await post('fixed', spec);
  const other = await patch('fixed', { loadBalancerClass: 'a.b/d' });
  assert.match(other.body.message, /spec.loadBalancerClass: .*may not change once set/);
  const { healthCheckNodePort } = made.spec;
  const health = await patch('fixed', { healthCheckNodePort: healthCheckNodePort + 1 });
  assert.match(health.body.message, /spec.healthCheckNodePort: Forbidden: field is immutable/);
});

test('a headless Service without selector drops a family when its policy says so', async () => {
  await post('shrinks', { clusterIP: 'None', selector: undefined });
  const reduced = await patch('shrinks', { ipFamilies: ['IPv4'] });
  assert.match(reduced.body.message, /must be 'SingleStack' to release the secondary IP family/);
  const { body } = await patch('shrinks', { ipFamilyPolicy: 'SingleStack' });
  assert.deepEqual(body.spec.ipFamilies, ['IPv4']);
});
