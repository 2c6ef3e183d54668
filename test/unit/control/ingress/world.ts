// Objects of Ingresses in short form, for tables of rules and requests.
import type { IngressObjects } from '../../../../control/ingress/model.ts';

export const NAMESPACE = 'shop';

/** `HOST PATH TYPE SERVICE:PORT`. HOST is `-` for any, PATH `-` for none. */
export type RuleText = string;

export interface IngressText {
  /** `NAME` or `NAMESPACE/NAME`. */
  name: string;
  rules?: RuleText[];
  /** `SERVICE:PORT`. */
  defaultBackend?: string;
  /** `SECRET: HOST HOST`. */
  tls?: string[];
  annotations?: Record<string, string>;
  /** The default is `haproxy`, null for none. */
  className?: string | null;
  /** Seconds after the others. */
  age?: number;
}

const TYPES: Record<string, string> = {
  '=': 'Exact',
  '*': 'Prefix',
  '?': 'ImplementationSpecific',
};

export function backend(text: string) {
  const [name = '', port = ''] = text.split(':');
  const named = /^\d+$/.test(port) ? { number: Number(port) } : { name: port };
  return { service: { name, port: named } };
}

/** Rules are `HOST PATH TYPE SERVICE:PORT`; TYPE is `=`, `*` or `?`. Each becomes a rule. */
export function ingress({ name, rules = [], ...rest }: IngressText) {
  const { defaultBackend, tls, annotations, className = 'haproxy', age = 0 } = rest;
  const [own, namespace = NAMESPACE] = name.split('/').reverse();
  const creationTimestamp = new Date(Date.UTC(2026, 0, 1) + age * 1000).toISOString();
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { namespace, name: own, creationTimestamp, ...(annotations && { annotations }) },
    spec: {
      ...(className !== null && { ingressClassName: className }),
      ...(defaultBackend && { defaultBackend: backend(defaultBackend) }),
      ...(tls && { tls: tls.map(readTls) }),
      ...(rules.length > 0 && { rules: rules.map(readRule) }),
    },
  };
}

function readTls(text: string) {
  const [secretName, hosts = ''] = text.split(':');
  return { secretName, hosts: hosts.trim().split(' ').filter(Boolean) };
}

function readRule(text: string) {
  const [host, path = '', type = '*', to = ''] = text.split(' ');
  const own = host === '-' ? {} : { host };
  if (path === '-') return own;
  const paths = [{ path, pathType: TYPES[type], backend: backend(to) }];
  return { ...own, http: { paths } };
}

export const CLASS = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'IngressClass',
  metadata: { name: 'haproxy' },
  spec: { controller: 'kubetun.io/ingress-controller' },
};

/** A Service `NAME` with port http, 80, and a slice with these endpoints, `!` if not ready. */
export function service(name: string, addresses: string[], port: object = {}) {
  const [own, namespace = NAMESPACE] = name.split('/').reverse();
  const http = { name: 'http', port: 80, targetPort: 8080, protocol: 'TCP', ...port };
  const labels = { 'kubernetes.io/service-name': own };
  return [
    {
      ...{ apiVersion: 'v1', kind: 'Service', metadata: { namespace, name: own } },
      spec: { clusterIP: '10.96.0.50', ports: [http] },
    },
    {
      ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4' },
      metadata: { namespace, name: `${own}-1`, labels },
      ports: [{ name: http.name, port: http.targetPort, protocol: http.protocol }],
      endpoints: addresses.map((text) => ({
        addresses: [text.replace('!', '')],
        conditions: { ready: !text.startsWith('!') },
      })),
    },
  ];
}

const LISTS = new Map<unknown, keyof IngressObjects>([
  ['Ingress', 'ingresses'],
  ['IngressClass', 'classes'],
  ['Service', 'services'],
  ['EndpointSlice', 'slices'],
  ['Secret', 'secrets'],
]);

/** Sorts objects into the lists of a compile. */
export function objectsOf(...all: object[]): IngressObjects {
  const lists = { ingresses: [], classes: [], services: [], slices: [], secrets: [] };
  for (const object of all) {
    const list = LISTS.get((object as { kind?: unknown }).kind)!;
    (lists[list] as unknown[]).push(object);
  }
  return lists;
}
