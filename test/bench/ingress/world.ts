// The lab of `bench ingress`: HAProxy pods that answer, a hand-written HAProxy, load balancers.
import { makeCertificate, tlsSecret } from '../../support/ingress/certificates.ts';
import { ingress } from '../../support/ingress/world.ts';
import { serviceObject } from '../../support/lab.ts';

export const HOST = 'web.bench.test';
/** Pods of the Service `web`. */
export const REPLICAS = 4;
const PORT = 8080;
/** Pods end their connections before they end. */
const LEAVING_S = 3;

/** An HAProxy in a pod, with a configuration in its command. */
function haproxyPod(lines: string[]): object {
  const text = ['defaults', '  mode http', '  timeout client 60s', ...DEFAULTS, ...lines].join(
    '\n',
  );
  const script = [
    `printf '%s\\n' '${text}' >/tmp/haproxy.cfg`,
    'haproxy -db -f /tmp/haproxy.cfg & pid=$!',
    // Open requests end first.
    'trap "kill -USR1 $pid" TERM',
    'while kill -0 $pid 2>/dev/null; do wait $pid; done',
  ].join('\n');
  const lifecycle = { preStop: { exec: { command: ['sleep', String(LEAVING_S)] } } };
  const readinessProbe = { tcpSocket: { port: PORT }, periodSeconds: 1 };
  return {
    terminationGracePeriodSeconds: 30,
    containers: [
      { name: 'main', image: 'bench', command: ['sh', '-c', script], lifecycle, readinessProbe },
    ],
  };
}

const DEFAULTS = ['  timeout connect 5s', '  timeout server 60s', '  timeout http-keep-alive 60s'];

function deployment(name: string, replicas: number, spec: object): object {
  const labels = { app: name };
  const template = { metadata: { labels }, spec };
  const strategy = { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } };
  return {
    ...{ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name, namespace: 'default' } },
    spec: { replicas, selector: { matchLabels: labels }, strategy, template },
  };
}

const SERVER = haproxyPod([
  ...['frontend f', `  bind :${PORT}`],
  '  http-request return status 200 content-type text/plain string "a short answer"',
]);

/** The same HAProxy as a user writes it, with the ClusterIP of the Service behind it. */
export function handWritten(servers: string[]): object {
  const lines = servers.map((address, i) => `  server s${i} ${address}:${PORT}`);
  const spec = haproxyPod([
    ...['  log stdout format raw local0', '  option httplog', 'frontend f'],
    ...[`  bind :${PORT}`, '  option forwardfor'],
    ...[`  use_backend web if { hdr(host) ${HOST} }`, 'backend web', ...lines],
  ]);
  return deployment('hand', 2, spec);
}

const balancer = (name: string, selector: string) =>
  serviceObject(name, {
    ...{ type: 'LoadBalancer', externalTrafficPolicy: 'Local', selector: { app: selector } },
    ports: [{ name: 'http', port: 80, targetPort: PORT }],
  });

/** A certificate for HOST. Each call makes another. */
export function certificateOf(folder: string): object {
  return tlsSecret('bench-tls', makeCertificate(folder, [HOST]));
}

export function objectsOf(folder: string): object[] {
  return [
    deployment('web', REPLICAS, SERVER),
    balancer('web', 'web'),
    balancer('hand', 'hand'),
    certificateOf(folder),
    ingress('web', {
      tls: [{ hosts: [HOST], secretName: 'bench-tls' }],
      rules: { [HOST]: { 'Prefix /': 'web' } },
    }),
  ];
}
