// The objects of the live table: Ingresses, their Services, and pods that serve all of them.
import type { KubeKinds } from '../../../control/kube/kinds.ts';
import { PROJECT_ROOT } from '../../../lab/places/paths.ts';
import { NODE, serviceObject } from '../lab.ts';
import { type Certificate, tlsSecret } from './certificates.ts';

type Spec = NonNullable<KubeKinds['Ingress']['spec']>;
type Rule = NonNullable<Spec['rules']>[number];
/** `Exact /foo` -> Service, with a port unless it is `http`. */
type Paths = Record<string, string>;

interface Shape {
  /** Null: no class at all. */
  className?: string | null;
  annotations?: Record<string, string>;
  rules?: Record<string, Paths>;
  tls?: Spec['tls'];
  defaultBackend?: string;
}

const CLASS = 'haproxy';
const PORT_FIRST = 8100;
/** Every Service has this port, named http. */
export const SERVICE_PORT = 8080;

/** Services with endpoints. */
const SERVED = [
  // Of the upstream features.
  ...['wildcard-foo-com', 'foo-bar-com', 'foo-exact', 'foo-prefix', 'foo-slash-exact'],
  ...['aaa-prefix', 'aaa-slash-bbb-prefix', 'aaa-slash-bbb-slash-prefix', 'echo-service'],
  ...['ingress-class-prefix'],
  // Of the other rows.
  ...['plain', 'other', 'wide', 'hostless', 'older', 'younger', 'secret', 'h2c', 'upload'],
];
const PORTS = new Map(SERVED.map((name, i) => [name, PORT_FIRST + i]));

function backend(text: string) {
  const [name = '', port = 'http'] = text.split(':');
  const isNumber = /^\d+$/.test(port);
  return { service: { name, port: isNumber ? { number: Number(port) } : { name: port } } };
}

function ruleOf(host: string, paths: Paths): Rule {
  const list = Object.entries(paths).map(([key, service]) => {
    const [pathType = '', path] = key.split(' ');
    return { ...(path !== undefined && { path }), pathType, backend: backend(service) };
  });
  return { ...(host !== '' && { host }), http: { paths: list } } as Rule;
}

/** An Ingress in few words. The host '' stands for a rule without one. */
export function ingress(name: string, shape: Shape): object {
  const { className = CLASS, annotations, rules = {}, tls, defaultBackend } = shape;
  const spec: Spec = {
    ...(className !== null && { ingressClassName: className }),
    ...(defaultBackend !== undefined && { defaultBackend: backend(defaultBackend) }),
    ...(tls && { tls }),
    rules: Object.entries(rules).map(([host, paths]) => ruleOf(host, paths)),
  };
  if (spec.rules?.length === 0) delete spec.rules;
  const metadata = { name, namespace: 'default', ...(annotations && { annotations }) };
  return { apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', metadata, spec };
}

/** The Ingresses of the upstream conformance features. */
const UPSTREAM = [
  ingress('host-rules', {
    tls: [{ hosts: ['foo.bar.com'], secretName: 'conformance-tls' }],
    rules: {
      '*.foo.com': { 'Prefix /': 'wildcard-foo-com:8080' },
      'foo.bar.com': { 'Prefix /': 'foo-bar-com' },
    },
  }),
  ingress('path-rules', {
    rules: {
      'exact-path-rules': { 'Exact /foo': 'foo-exact:8080' },
      'prefix-path-rules': {
        'Prefix /foo': 'foo-prefix:8080',
        'Prefix /aaa/bbb': 'aaa-slash-bbb-prefix:8080',
        'Prefix /aaa': 'aaa-prefix:8080',
      },
      'mixed-path-rules': { 'Prefix /foo': 'foo-prefix:8080', 'Exact /foo': 'foo-exact:8080' },
      'trailing-slash-path-rules': {
        'Prefix /aaa/bbb/': 'aaa-slash-bbb-slash-prefix:8080',
        'Exact /foo/': 'foo-slash-exact:8080',
      },
    },
  }),
  ingress('test-ingress-class', {
    className: 'some-invalid-class-name',
    rules: { 'ingress-class': { 'Prefix /': 'ingress-class-prefix:8080' } },
  }),
];

/** Of the newest Ingress: once it is served, all others are. */
export const LAST_HOST = 'last.test';

const OWN = [
  ingress('hosts', {
    rules: {
      'exact.wide.test': { 'Prefix /only': 'plain' },
      '*.wide.test': { 'Prefix /': 'wide' },
      'plain.test': {
        'Prefix /': 'plain',
        'Prefix /other': 'other:8080',
        'Prefix /secret': 'secret',
        'Exact /secret/open': 'other',
        'ImplementationSpecific /special': 'foo-prefix',
      },
    },
  }),
  // Any host, but only below one path, so that unknown hosts stay 404.
  ingress('hostless', { rules: { '': { 'Prefix /hostless': 'hostless' } } }),
  // The same host in a second Ingress: its paths add up with those of `hosts`.
  ingress('more-paths', { rules: { 'plain.test': { 'Prefix /other/more': 'foo-exact' } } }),
  // The older of two rules for one host and path wins.
  ingress('a-older', { rules: { 'conflict.test': { 'Prefix /': 'older' } } }),
  ingress('b-younger', {
    rules: { 'conflict.test': { 'Prefix /': 'younger', 'Prefix /b': 'younger' } },
  }),
  ingress('by-default-class', {
    className: null,
    rules: { 'default-class.test': { 'Prefix /': 'plain' } },
  }),
  ingress('faults', {
    rules: {
      'faults.test': {
        'Prefix /empty': 'empty',
        'Prefix /unknown': 'unknown',
        'Prefix /port': 'plain:9999',
        'Prefix /works': 'plain',
      },
      'external.test': { 'Prefix /': 'external:80' },
    },
  }),
  ingress('tls', {
    tls: [
      { hosts: ['tls.test', 'also.tls.test'], secretName: 'tls-test' },
      { hosts: ['*.tls.test'], secretName: 'wildcard-tls-test' },
      { hosts: ['missing.test'], secretName: 'missing' },
      { hosts: ['broken.test'], secretName: 'broken' },
    ],
    rules: {
      'tls.test': { 'Prefix /': 'secret' },
      'also.tls.test': { 'Prefix /': 'secret' },
      '*.tls.test': { 'Prefix /': 'wide', 'Prefix /test.Echo': 'h2c' },
      'missing.test': { 'Prefix /': 'plain' },
      'broken.test': { 'Prefix /': 'plain' },
    },
  }),
  // For the probes: one path for all clients, and one for none.
  ingress('guarded', { rules: { 'guarded.test': { 'Prefix /public': 'plain' } } }),
  ingress('guarded-private', {
    annotations: { 'haproxy.org/allow-list': '192.0.2.1' },
    rules: { 'guarded.test': { 'Prefix /private': 'secret' } },
  }),
  ingress('settings', {
    annotations: { 'haproxy.org/ssl-redirect': 'true', 'haproxy.org/ssl-redirect-code': '301' },
    rules: { 'redirect.test': { 'Prefix /': 'plain' } },
  }),
  ingress('limits', {
    annotations: { 'haproxy.org/proxy-body-size': '1k', 'haproxy.org/cookie-persistence': 'kept' },
    rules: { 'limits.test': { 'Prefix /': 'plain' } },
  }),
  ingress('allowed', {
    annotations: { 'haproxy.org/allow-list': '192.0.2.1, 203.0.113.0/24' },
    rules: { 'allowed.test': { 'Prefix /': 'plain' } },
  }),
  ingress('protocols', {
    rules: { 'h2c.test': { 'Prefix /': 'h2c' }, 'upload.test': { 'Prefix /': 'upload' } },
  }),
  ingress('z-last', { rules: { [LAST_HOST]: { 'Prefix /': 'plain' } } }),
];

/** Created for its own rows only: it takes every request that no other rule matches. */
export const DEFAULT_BACKEND = ingress('default-backend', { defaultBackend: 'echo-service:8080' });

function services(): object[] {
  const served = SERVED.map((name) => {
    const appProtocol = name === 'h2c' && { appProtocol: 'kubernetes.io/h2c' };
    const port = { name: 'http', port: SERVICE_PORT, targetPort: PORTS.get(name), ...appProtocol };
    return serviceObject(name, { selector: { app: 'backend' }, ports: [port] });
  });
  return [
    ...served,
    serviceObject('empty', { selector: { app: 'nothing' }, ports: [{ name: 'http', port: 8080 }] }),
    serviceObject('external', { type: 'ExternalName', externalName: 'www.example.test' }),
  ];
}

/** A pod that is an endpoint of every served Service. */
function backendPod(name: string, nodeName: string): object {
  const ports = [...PORTS].map(([service, port]) => `${service}=${port}`);
  const program = `${PROJECT_ROOT}/test/support/ingress/backend.ts`;
  const command = [NODE, '--disable-warning=ExperimentalWarning', program, ...ports];
  const readinessProbe = { tcpSocket: { port: 9090 }, periodSeconds: 1 };
  const containers = [{ name: 'main', image: 'busybox', command, readinessProbe }];
  return {
    ...{ apiVersion: 'v1', kind: 'Pod', metadata: { name, labels: { app: 'backend' } } },
    spec: { nodeName, terminationGracePeriodSeconds: 0, containers },
  };
}

export const BACKEND_PODS = ['backend-node1', 'backend-node2'];

/** A Service of many small pods, each of which answers with its name. */
export function replicas(name: string, count: number): { deployment: object; service: object } {
  const labels = { app: name };
  const text = [
    ...['defaults', '  mode http', '  timeout client 60s', 'frontend f', '  bind :8080'],
    '  http-request return status 200 content-type text/plain string "$HOSTNAME"',
  ].join('\n');
  const command = [
    'sh',
    '-c',
    `printf '%s\n' '${text}' >/tmp/h.cfg && exec haproxy -db -f /tmp/h.cfg`,
  ];
  const readinessProbe = { tcpSocket: { port: 8080 }, periodSeconds: 1 };
  const containers = [{ name: 'main', image: 'busybox', command, readinessProbe }];
  const template = { metadata: { labels }, spec: { terminationGracePeriodSeconds: 0, containers } };
  const metadata = { name, namespace: 'default' };
  return {
    deployment: {
      metadata,
      spec: { replicas: count, selector: { matchLabels: labels }, template },
    },
    service: {
      metadata,
      spec: { selector: labels, ports: [{ name: 'http', port: 8080 }] },
    },
  };
}

/** Certificates by the names of their Secrets. */
export const CERTIFICATES: Record<string, string[]> = {
  'conformance-tls': ['foo.bar.com'],
  'tls-test': ['tls.test', 'also.tls.test'],
  'wildcard-tls-test': ['*.tls.test'],
};

export function objectsWith(certificates: Record<string, Certificate>): object[] {
  const broken = { cert: 'no certificate', key: 'no key' };
  const secrets = { ...certificates, broken };
  return [
    ...Object.entries(secrets).map(([name, certificate]) => tlsSecret(name, certificate)),
    ...services(),
    ...BACKEND_PODS.map((name) => backendPod(name, name.replace('backend-', ''))),
    ...UPSTREAM,
    ...OWN,
  ];
}
