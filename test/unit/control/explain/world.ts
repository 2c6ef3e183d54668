// A cluster in files, for questions of explain.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { stringify } from 'yaml';
import type { Explanation } from '../../../../control/explain/explanation.ts';

const folder = mkdtempSync(join(tmpdir(), 'kubetun-explain-names-'));
after(() => rmSync(folder, { recursive: true }));

export const node = (name: string, n: number) => ({
  ...{ kind: 'Node', metadata: { name }, spec: { podCIDR: `10.244.${n}.0/24` } },
  status: { addresses: [{ type: 'InternalIP', address: `172.18.0.1${n}` }] },
});
export const pod = (key: string, podIP: string, spec: object = {}, labels: object = {}) => {
  const [namespace, name] = key.split('/');
  const nodeName = `node${podIP.split('.')[2]}`;
  return {
    ...{ kind: 'Pod', metadata: { namespace, name, labels } },
    ...{ spec: { nodeName, containers: [], ...spec }, status: { podIP, phase: 'Running' } },
  };
};
export const service = (key: string, spec: object) => {
  const [namespace, name] = key.split('/');
  return { kind: 'Service', metadata: { namespace, name }, spec };
};
/** Endpoints as ADDRESS, ADDRESS=HOSTNAME, or with a `!` in front if not ready. */
export const slice = (key: string, endpoints: string[], ports: object[]) => {
  const [namespace, name] = key.split('/');
  const labels = { 'kubernetes.io/service-name': name };
  return {
    ...{ kind: 'EndpointSlice', addressType: 'IPv4', ports },
    metadata: { namespace, name: `${name}-1`, labels },
    endpoints: endpoints.map((text) => {
      const [address, hostname] = text.replace('!', '').split('=') as [string, string?];
      return {
        ...{ addresses: [address], nodeName: `node${address.split('.')[2]}` },
        conditions: { ready: !text.startsWith('!') },
        targetRef: { kind: 'Pod', name: `pod-of-${address}` },
        ...(hostname && { hostname }),
      };
    }),
  };
};

const HTTP = { name: 'http', port: 80, protocol: 'TCP' };
export const DNS_PORTS = [{ name: 'dns', port: 53, protocol: 'UDP' }];
export const DNS = [
  service('kube-system/kube-dns', { clusterIP: '10.96.0.10', ports: DNS_PORTS }),
  slice('kube-system/kube-dns', ['10.244.2.9'], DNS_PORTS),
  pod(
    'kube-system/kube-dns-a',
    '10.244.2.9',
    { containers: [{ name: 'dns', args: ['--upstream=203.0.113.10'] }] },
    { 'k8s-app': 'kube-dns' },
  ),
];
const OWN = {
  dnsPolicy: 'None',
  dnsConfig: { nameservers: ['203.0.113.10'], searches: ['example.test'] },
};
export const COMMON = [
  ...[node('node1', 1), node('node2', 2)],
  ...['default', 'shop', 'empty'].map((name) => ({ kind: 'Namespace', metadata: { name } })),
  pod('default/client', '10.244.1.5', {
    hostAliases: [{ ip: '203.0.113.77', hostnames: ['legacy', 'Old.example'] }],
  }),
  pod('default/few', '10.244.1.6', { dnsConfig: { options: [{ name: 'ndots', value: '1' }] } }),
  pod('default/own', '10.244.1.7', OWN),
  pod('default/deaf', '10.244.1.8', { dnsPolicy: 'None' }),
  pod('default/host', '172.18.0.11', { nodeName: 'node1', hostNetwork: true }),
  pod('default/web-1', '10.244.2.5'),
  service('default/web', { clusterIP: '10.96.0.20', ports: [HTTP] }),
  slice('default/web', ['10.244.2.5'], [{ ...HTTP, port: 8080 }]),
  service('default/idle', { clusterIP: '10.96.0.21', ports: [HTTP] }),
  service('default/db', { clusterIP: 'None', ports: [{ ...HTTP, targetPort: 8080 }] }),
  slice(
    'default/db',
    ['10.244.1.20=db-0', '10.244.2.20=db-1', '!10.244.2.21=db-2'],
    [{ ...HTTP, port: 8080 }],
  ),
  pod('default/db-3', '10.244.2.23', { hostname: 'db-3' }),
  service('default/sleepy', { clusterIP: 'None', ports: [HTTP] }),
  slice('default/sleepy', ['!10.244.2.31'], [HTTP]),
  service('default/lonely', { clusterIP: 'None', ports: [HTTP] }),
  slice('default/lonely', [], [HTTP]),
  service('shop/cart', { clusterIP: '10.96.0.30', ports: [HTTP] }),
  slice('shop/cart', ['10.244.2.5'], [{ ...HTTP, port: 8080 }]),
  service('default/out', { type: 'ExternalName', externalName: 'www.example.test' }),
  service('default/alias', { type: 'ExternalName', externalName: 'cart.shop.svc.cluster.local' }),
  service('default/odd', { type: 'ExternalName', externalName: '203.0.113.10' }),
  service('default/broken', { type: 'ExternalName', externalName: 'no.shop.svc.cluster.local' }),
];

let files = 0;
export function fileOf(...items: object[]): string {
  const file = join(folder, `${files++}.yaml`);
  writeFileSync(file, stringify({ kind: 'List', items }));
  return file;
}
export const RANGES = { services: '10.96.0.0/16', public: '198.51.100.0/24' };

/** Texts of the steps with these stages. */
export const of = ({ steps }: Explanation, ...stages: string[]) =>
  steps.filter(({ stage }) => stages.includes(stage)).map(({ text }) => text);
