// Says why a name of the cluster does not resolve.
import { addressBytes } from '../dns/record.ts';
import type { EndpointSlice, Pod } from '../kube/kinds.ts';
import type { Names } from './names.ts';

const NAMES_TOLD_MAX = 5;
/** More differences than this are another name, not a typing mistake. */
const EDITS_MAX = 2;

/** A Service that a name may mean, and the label of an endpoint before it. */
interface Meaning {
  namespace: string;
  service: string;
  endpoint: string | null;
}

/**
 * The reason and what to do, in one or two lines. Null for a name that means nothing here, as those
 * of the internet do.
 *
 * @param own the namespace of the pod that asks.
 */
export function tellAbsent(name: string, own: string, names: Names): string[] | null {
  const meanings = meaningsOf(name, own);
  for (const meaning of meanings) {
    const { namespace, service } = meaning;
    if (names.services.has(`${namespace}/${service}`)) return tellService(meaning, names);
  }
  const [first, second] = meanings;
  if (!first) return null;
  const { namespace, service } = first;
  const isShort = namespace === own || isLong(name);
  if (!names.namespaces.has(namespace)) return tellNamespace(first, second, isShort, names);
  const absent = `there is no Service ${namespace}/${service}`;
  const elsewhere = namespacesWith(service, names);
  if (elsewhere.length > 0) {
    const keys = elsewhere.slice(0, NAMES_TOLD_MAX).map((other) => `${other}/${service}`);
    return [`${absent}, but ${keys.join(', ')} exists`, `ask ${service}.${elsewhere[0]}`];
  }
  if (names.pods.has(`${namespace}/${service}`)) {
    const why = `${namespace}/${service} is a pod, and a pod alone has no name in DNS`;
    return [`${absent}: ${why}`, 'select it by a Service, or give its address'];
  }
  const likely = closest(service, servicesIn(namespace, names));
  if (likely !== null) return [absent, `did you mean ${likely}?`];
  return [absent, `kubectl get services -n ${namespace} lists those that exist`];
}

/** What a name can mean, the likeliest first. The suffix of the cluster may be missing. */
function meaningsOf(name: string, own: string): Meaning[] {
  const bare = name.toLowerCase().replace(/\.$/, '');
  const labels = bare.replace(/\.svc(?:\.cluster\.local)?$/, '').split('.');
  const [a = '', b, c] = labels;
  const of = (service: string, namespace: string, endpoint: string | null = null) => ({
    ...{ service, namespace, endpoint },
  });
  if (labels.length > 3) return [];
  if (c !== undefined) return [of(b!, c, a)];
  if (b === undefined) return [of(a, own)];
  return isLong(name) ? [of(a, b)] : [of(a, b), of(b, own, a)];
}

function isLong(name: string): boolean {
  return /\.svc(?:\.cluster\.local)?\.?$/i.test(name);
}

/** Only names close to known ones, or with the suffix of the cluster, are mistakes. */
function tellNamespace(
  { namespace, service }: Meaning,
  second: Meaning | undefined,
  isOwn: boolean,
  names: Names,
): string[] | null {
  const absent = `there is no namespace ${namespace}`;
  const likely = closest(namespace, namespacesWith(service, names));
  if (likely !== null) return [absent, `did you mean ${service}.${likely}?`];
  if (second) {
    const heads = servicesIn(second.namespace, names).filter(
      (each) => names.services.get(`${second.namespace}/${each}`)?.spec?.clusterIP === 'None',
    );
    const local = closest(second.service, heads);
    const neither = `${absent}, and no Service ${second.namespace}/${second.service}`;
    if (local !== null) return [neither, `did you mean ${second.endpoint}.${local}?`];
  }
  return isOwn ? [absent, 'kubectl get namespaces lists those that exist'] : null;
}

function namespacesWith(service: string, { namespaces, services }: Names): string[] {
  return [...namespaces].filter((namespace) => services.has(`${namespace}/${service}`));
}

/** The Service exists: its name has no address, or no such name is below it. */
function tellService({ namespace, service, endpoint }: Meaning, names: Names): string[] {
  const key = `${namespace}/${service}`;
  const { spec } = names.services.get(key)!;
  if (spec?.type === 'ExternalName') return tellAlias(key, spec.externalName ?? '', names);
  const slices = names.slicesOf(key);
  if (endpoint !== null) return tellEndpoint({ namespace, service, endpoint }, slices, names);
  if (spec?.clusterIP !== 'None') return [`Service ${key} has no IPv4 address`];
  const all = slices.flatMap(({ endpoints }) => endpoints ?? []);
  const why = `headless Service ${key} has no ready endpoint, so its name does not exist`;
  if (all.length === 0) return [why, `no pod with an address matches its selector`];
  const pods = all.slice(0, NAMES_TOLD_MAX).map((row) => row.targetRef?.name ?? row.addresses[0]);
  return [why, `not ready: ${pods.join(', ')} (publishNotReadyAddresses would show them)`];
}

function tellAlias(key: string, target: string, { services }: Names): string[] {
  if (addressBytes(target) !== null) {
    const why = `ExternalName Service ${key} names the address ${target}`;
    return [
      `${why}: an alias leads to a name`,
      'use a Service without selector, and its endpoints',
    ];
  }
  const [name, namespace] = target.split('.');
  const isThere = services.has(`${namespace}/${name}`);
  const what = isThere ? 'has no address' : 'does not exist';
  return [`ExternalName Service ${key} leads to ${target}, which ${what}`];
}

function tellEndpoint(
  { namespace, service, endpoint }: Meaning,
  slices: EndpointSlice[],
  names: Names,
): string[] {
  const rows = slices.flatMap(({ endpoints }) => endpoints ?? []);
  const ready = rows.filter(({ conditions }) => conditions?.ready !== false);
  const isOwn = (row: { hostname?: string }) => row.hostname?.toLowerCase() === endpoint;
  if (rows.some(isOwn))
    return [`endpoint ${endpoint} of Service ${namespace}/${service} is not ready`];
  const known = ready.map(({ hostname }) => hostname).filter((name) => name !== undefined);
  const why = `Service ${namespace}/${service} has no endpoint with the hostname ${endpoint}`;
  const pod = names.pods.get(`${namespace}/${endpoint}`);
  if (pod) return [why, podHint(pod, service)];
  if (known.length === 0) return [why, 'no endpoint of it has a hostname'];
  return [why, `its endpoints are ${known.slice(0, NAMES_TOLD_MAX).join(', ')}`];
}

function podHint({ metadata, spec }: Pod, service: string): string {
  const { hostname = '', subdomain = '' } = spec ?? {};
  const wanted = `spec.hostname ${metadata?.name} and spec.subdomain ${service}`;
  const hint = 'a StatefulSet sets them from its serviceName';
  const found = `hostname ${JSON.stringify(hostname)}, subdomain ${JSON.stringify(subdomain)}`;
  return `pod ${metadata?.name} has ${found}, expected ${wanted}: ${hint}`;
}

function servicesIn(namespace: string, { services }: Names): string[] {
  const keys = [...services.keys()].filter((key) => key.startsWith(`${namespace}/`));
  return keys.map((key) => key.slice(namespace.length + 1));
}

/** The name with the fewest edits; null if all differ by more than a typing mistake. */
function closest(name: string, known: string[]): string | null {
  const limit = Math.min(EDITS_MAX, Math.floor(name.length / 2));
  const near = known
    .map((each) => ({ each, edits: editsOf(name, each) }))
    .filter(({ edits }) => edits <= limit)
    .sort((a, b) => a.edits - b.edits);
  return near[0]?.each ?? null;
}

/** Levenshtein's distance, where two letters in the wrong order are one edit. */
function editsOf(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, i) => i)];
  for (let i = 1; i <= a.length; i++) {
    const [before, row] = [rows[i - 1]!, [i]];
    for (let j = 1; j <= b.length; j++) {
      const change = before[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = isSwap ? rows[i - 2]![j - 2]! + 1 : change;
      row.push(Math.min(change, swap, before[j]! + 1, row[j - 1]! + 1));
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
