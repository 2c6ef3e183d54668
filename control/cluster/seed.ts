// Objects that every cluster has.
import { formatAddress, parseRange } from '../../datapath/wire/address.ts';
import { ACCOUNT_DEFAULT } from '../apiserver/admit/pod.ts';
import { servedAt } from '../apiserver/verbs/kinds.ts';
import type { Registry } from '../apiserver/verbs/registry.ts';
import { later } from '../controllers/queue.ts';
import { isEqual } from '../kube/object.ts';
import { DEFAULT_CLASS, PROVISIONER } from '../model/storage.ts';

const NAMESPACES = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];
const NAMESPACE = servedAt('v1', 'namespaces')!;
const SERVICE = servedAt('v1', 'services')!;
const CLASS = servedAt('storage.k8s.io/v1', 'storageclasses')!;
const SLICE = servedAt('discovery.k8s.io/v1', 'endpointslices')!;
const ENDPOINTS = servedAt('v1', 'endpoints')!;
/** The Service for this server. Its EndpointSlice and Endpoints have the same name. */
const OWN = { namespace: 'default', name: 'kubernetes' };

/** The default class, until a client makes another one. */
const CLASS_DEFAULT = {
  metadata: { name: 'standard', annotations: { [DEFAULT_CLASS]: 'true' } },
  provisioner: PROVISIONER,
};

/**
 * Creates the namespaces that clients expect, a StorageClass, and the Service `kubernetes`. Creates
 * the Service again after each deletion.
 */
export function seedCluster(
  registry: Registry,
  serviceRange: string,
  api: { address: string; port: number },
): void {
  const { store } = registry;
  for (const name of NAMESPACES) {
    if (store.get('namespaces', '', name)) continue;
    registry.create(NAMESPACE, '', { metadata: { name } });
  }
  if (store.list(CLASS.plural).length === 0) registry.create(CLASS, '', CLASS_DEFAULT);
  const { namespace, name } = OWN;
  const labels = { component: 'apiserver', provider: 'kubernetes' };
  const seeds = [
    {
      kind: SERVICE,
      object: {
        metadata: { name, labels },
        spec: {
          clusterIP: formatAddress(parseRange(serviceRange)!.address + 1),
          ports: [{ name: 'https', port: 443, targetPort: api.port }],
        },
      },
    },
    {
      kind: SLICE,
      object: {
        metadata: { name, labels: { 'kubernetes.io/service-name': name } },
        addressType: 'IPv4',
        endpoints: [{ addresses: [api.address], conditions: { ready: true } }],
        ports: [{ name: 'https', port: api.port, protocol: 'TCP' }],
      },
    },
    {
      kind: ENDPOINTS,
      object: {
        // The slice is seeded above, so no controller must mirror these Endpoints to another one.
        metadata: { name, labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } },
        subsets: [
          {
            addresses: [{ ip: api.address }],
            ports: [{ name: 'https', port: api.port, protocol: 'TCP' }],
          },
        ],
      },
    },
  ];
  for (const { kind, object } of seeds) {
    const { metadata } = object;
    if (!store.get(kind.plural, namespace, name)) registry.create(kind, namespace, object);
    // Objects that an earlier version created may lack a label.
    else if ('labels' in metadata) {
      registry.patch(kind, OWN, { metadata: { labels: metadata.labels } }, false);
    }
    store.subscribe(kind.plural, ({ type, object: { metadata } }) => {
      if (type !== 'DELETED' || metadata.name !== name || metadata.namespace !== namespace) return;
      // A delete of all Services includes this one.
      later(() => {
        if (!store.get(kind.plural, namespace, name)) {
          registry.create(kind, namespace, object);
        }
      });
    });
  }
}

// Objects of every namespace: pkg/controller/serviceaccount,
// pkg/controller/certificates/rootcacertpublisher.

const ACCOUNT = { kind: servedAt('v1', 'serviceaccounts')!, name: ACCOUNT_DEFAULT };
const ROOT_CA = { kind: servedAt('v1', 'configmaps')!, name: 'kube-root-ca.crt' };

/**
 * Keeps the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt` in every active
 * namespace. Both exist before the server handles the next request after a new namespace.
 *
 * @param ca certificate of the server's authority, PEM.
 */
export function seedNamespaces(registry: Registry, ca: string): void {
  const { store } = registry;
  const data = { 'ca.crt': ca };
  const furnish = (namespace: string) => {
    if (store.get('namespaces', '', namespace)?.status?.phase !== 'Active') return;
    if (!store.get(ACCOUNT.kind.plural, namespace, ACCOUNT.name)) {
      registry.create(ACCOUNT.kind, namespace, { metadata: { name: ACCOUNT.name } });
    }
    const there = store.get(ROOT_CA.kind.plural, namespace, ROOT_CA.name);
    if (!there)
      registry.create(ROOT_CA.kind, namespace, { metadata: { name: ROOT_CA.name }, data });
    // An immutable ConfigMap stays as its writer made it.
    else if (!isEqual(there.data, data) && !there.immutable) {
      registry.update(ROOT_CA.kind, { namespace, name: ROOT_CA.name }, { ...there, data }, false);
    }
  };
  const soon = (namespace: string) => later(() => furnish(namespace));
  store.each('namespaces', ({ metadata }) => furnish(metadata.name));
  store.subscribe('namespaces', ({ type, object }) => {
    if (type === 'ADDED') soon(object.metadata.name);
  });
  for (const { kind, name } of [ACCOUNT, ROOT_CA]) {
    store.subscribe(kind.plural, ({ type, object: { metadata } }) => {
      if (type !== 'ADDED' && metadata.name === name) soon(metadata.namespace!);
    });
  }
}
