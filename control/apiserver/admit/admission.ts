import type { KubeObject } from '../../kube/object.ts';
import { refused } from '../status.ts';
import type { Store } from '../store/store.ts';

/** The account of pods that name none; seed-namespace.ts keeps one in every namespace. */
export const ACCOUNT_DEFAULT = 'default';
const PODS = { plural: 'pods', group: '', kind: 'Pod' };

/**
 * Throws StatusError Forbidden for a new pod whose ServiceAccount does not exist:
 * plugin/pkg/admission/serviceaccount. Like upstream it does not refuse a pod while the default
 * account is made again.
 *
 * @param name as messages give it: of a generated name the base, so that events about it are the same each time.
 */
export function requireAccount(store: Store, { metadata, spec }: KubeObject, name: string): void {
  const account: string = spec.serviceAccountName;
  const { namespace = '' } = metadata;
  if (account === ACCOUNT_DEFAULT || store.get('serviceaccounts', namespace, account)) return;
  const why = `error looking up service account ${namespace}/${account}`;
  throw refused(PODS, name, `${why}: serviceaccount ${JSON.stringify(account)} not found`);
}
