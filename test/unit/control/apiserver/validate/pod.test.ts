import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultPod } from '../../../../../control/apiserver/admit/pod.ts';
import { validatePod } from '../../../../../control/apiserver/validate/pod.ts';
import type { KubeObject } from '../../../../../control/kube/object.ts';

const MAIN = { name: 'main', image: 'pause' };
const HTTP = { httpGet: { port: 80 } };

/** A pod with its defaults. */
function pod(spec: object): KubeObject {
  const object = {
    metadata: { name: 'web' },
    spec: { containers: [MAIN], ...structuredClone(spec) },
  };
  defaultPod(object as unknown as KubeObject);
  return object as unknown as KubeObject;
}

function refusals(spec: object): string[] {
  return validatePod(pod(spec), undefined).map(({ field, message }) => `${field}: ${message}`);
}

/** A pod of one container. */
function main(change: object, spec: object = {}): object {
  return { ...spec, containers: [{ ...MAIN, ...change }] };
}

const MAIN_AT = 'spec.containers[0]';

const GOOD: [what: string, spec: object][] = [
  ['all probes', main({ livenessProbe: HTTP, readinessProbe: HTTP, startupProbe: HTTP })],
  ['a named port', main({ readinessProbe: { tcpSocket: { port: 'http' } } })],
  ['hooks', main({ lifecycle: { preStop: { sleep: { seconds: 5 } }, postStart: HTTP } })],
  [
    'a probed sidecar',
    { initContainers: [{ name: 's', image: 'p', restartPolicy: 'Always', livenessProbe: HTTP }] },
  ],
  [
    'a mounted volume',
    main({ volumeMounts: [{ name: 'v', mountPath: '/a' }] }, { volumes: [{ name: 'v' }] }),
  ],
  [
    'ports in the network of the node',
    main({ ports: [{ containerPort: 80 }] }, { hostNetwork: true }),
  ],
  ['its own resolver', { dnsPolicy: 'None', dnsConfig: { nameservers: ['192.0.2.1'] } }],
];
for (const [what, spec] of GOOD) {
  test(`a pod may have ${what}`, () => assert.deepEqual(refusals(spec), []));
}

const BAD: [spec: object, refusal: string][] = [
  [
    main({ livenessProbe: {} }),
    `${MAIN_AT}.livenessProbe: Required value: must specify a handler type`,
  ],
  [
    main({ livenessProbe: { ...HTTP, tcpSocket: { port: 1 } } }),
    `${MAIN_AT}.livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type`,
  ],
  [
    main({ readinessProbe: { grpc: { port: 0 } } }),
    `${MAIN_AT}.readinessProbe.grpc.port: Invalid value: 0: must be between 1 and 65535, inclusive`,
  ],
  [
    main({ livenessProbe: { ...HTTP, successThreshold: 2 } }),
    `${MAIN_AT}.livenessProbe.successThreshold: Invalid value: 2: must be 1`,
  ],
  [
    main({ readinessProbe: { ...HTTP, periodSeconds: -1 } }),
    `${MAIN_AT}.readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0`,
  ],
  [
    main({ readinessProbe: { ...HTTP, terminationGracePeriodSeconds: 1 } }),
    `${MAIN_AT}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not be set for readinessProbes`,
  ],
  [
    main({ readinessProbe: { httpGet: { port: 80, scheme: 'FTP' } } }),
    `${MAIN_AT}.readinessProbe.httpGet.scheme: Unsupported value: "FTP": supported values: "HTTP", "HTTPS"`,
  ],
  [
    main({ readinessProbe: { tcpSocket: { port: 0 } } }),
    `${MAIN_AT}.readinessProbe.tcpSocket.port: Invalid value: 0: must be between 1 and 65535, inclusive`,
  ],
  [
    main({ lifecycle: { preStop: { sleep: { seconds: 31 } } } }),
    `${MAIN_AT}.lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)`,
  ],
  [
    { initContainers: [{ name: 'i', image: 'p', readinessProbe: HTTP }] },
    'spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always',
  ],
  [
    main({ restartPolicy: 'Always' }),
    `${MAIN_AT}.restartPolicy: Forbidden: may not be set for non-init containers`,
  ],
  [
    main({ volumeMounts: [{ name: 'none', mountPath: '/a' }] }),
    `${MAIN_AT}.volumeMounts[0].name: Not found: "none"`,
  ],
  [
    main(
      { volumeMounts: [{ name: 'v', mountPath: '/a', subPath: 'a/../b' }] },
      { volumes: [{ name: 'v' }] },
    ),
    `${MAIN_AT}.volumeMounts[0].subPath: Invalid value: "a/../b": must not contain '..'`,
  ],
  [
    { volumes: [{ name: 'v', emptyDir: {}, secret: { secretName: 's' } }] },
    'spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type',
  ],
  [
    main({
      env: [{ name: 'A', value: 'x', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
    }),
    `${MAIN_AT}.env[0].valueFrom: Invalid value: "": may not be specified when \`value\` is not empty`,
  ],
  [
    main({ ports: [{ containerPort: 80, hostPort: 81 }] }, { hostNetwork: true }),
    `${MAIN_AT}.ports[0].hostPort: Invalid value: 81: must match \`containerPort\` when \`hostNetwork\` is true`,
  ],
  [
    { dnsPolicy: 'None' },
    "spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is 'None'",
  ],
  [
    { hostAliases: [{ ip: 'x' }] },
    'spec.hostAliases[0].ip: Invalid value: "x": must be a valid IPv4 address',
  ],
];
for (const [spec, refusal] of BAD) {
  test(`refused: ${refusal}`, () => assert.deepEqual(refusals(spec), [refusal]));
}

test('a variable can come from a label of the pod, but not from any field', () => {
  const from = (fieldPath: string) =>
    main({ env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath } } }] });
  assert.deepEqual(refusals(from("metadata.labels['app']")), []);
  assert.match(
    refusals(from('spec.hostname'))[0]!,
    /fieldPath: Unsupported value: "spec\.hostname"/,
  );
});

test("probes, hooks, volumes and references have upstream's defaults", () => {
  const { spec } = pod(
    main(
      {
        livenessProbe: { httpGet: { port: 80 } },
        lifecycle: { preStop: { httpGet: { port: 80 } } },
        env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
        resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m' } },
      },
      { volumes: [{ name: 'a' }, { name: 'b', configMap: { name: 'c' } }] },
    ),
  );
  const [container] = spec.containers;
  assert.deepEqual(container.livenessProbe, {
    httpGet: { path: '/', port: 80, scheme: 'HTTP' },
    timeoutSeconds: 1,
    periodSeconds: 10,
    successThreshold: 1,
    failureThreshold: 3,
  });
  assert.deepEqual(container.lifecycle.preStop.httpGet, { path: '/', port: 80, scheme: 'HTTP' });
  assert.equal(container.env[0].valueFrom.fieldRef.apiVersion, 'v1');
  assert.deepEqual(container.resources.requests, { cpu: '500m', memory: '1Gi' });
  assert.deepEqual(spec.volumes, [
    { name: 'a', emptyDir: {} },
    { name: 'b', configMap: { name: 'c', defaultMode: 420 } },
  ]);
});
