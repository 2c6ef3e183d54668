// What every namespace has: pkg/controller/serviceaccount,
// pkg/controller/certificates/rootcacertpublisher.

import { ACCOUNT_DEFAULT } from '../apiserver/admit/admission.ts';
import { servedAt } from '../apiserver/kinds.ts';
import type { Registry } from '../apiserver/verbs/registry.ts';
import { isEqual } from '../kube/object.ts';
import { later } from './later.ts';

const ACCOUNT = { kind: servedAt('v1', 'serviceaccounts')!, name: ACCOUNT_DEFAULT };
const ROOT_CA = { kind: servedAt('v1', 'configmaps')!, name: 'kube-root-ca.crt' };

/**
 * Keeps the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt` in every namespace that
 * is not ending. Both are there before the request after the one that made the namespace.
 *
 * @param ca certificate of the authority that signed the server's, in PEM.
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
    // What was made immutable stays as somebody wanted it.
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
