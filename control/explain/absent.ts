// Says why a name of the cluster does not resolve.
import { addressBytes } from '../dns/record.ts';
import type { EndpointSlice, Pod } from '../kube/kinds.ts';
import { closest } from './closest.ts';
import { noClusterIP, noSlices, othersText } from './missing.ts';
import type { Names } from './names.ts';

const NAMES_TOLD_MAX = 5;
const DOMAIN = 'svc.cluster.local';
/** What is left of the domain if a label of it is missing. */
const DOMAIN_PARTS = [DOMAIN, 'svc.cluster', 'cluster.local', 'svc.local'];

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
 * @param asked the names of its queries, each with a dot at the end.
 */
export function tellAbsent(
  name: string,
  own: string,
  names: Names,
  asked: string[],
): string[] | null {
  const meanings = meaningsOf(name, own);
  for (const meaning of meanings) {
    const { namespace, service } = meaning;
    if (!names.services.has(`${namespace}/${service}`)) continue;
    const full = fullName(meaning);
    if (asked.some((each) => each.toLowerCase() === full)) return tellService(meaning, names);
    return tellNotAsked(name, full, `${namespace}/${service}`);
  }
  const domain = tellDomain(name, names);
  if (domain !== null) return domain;
  const node = tellNode(name, meanings, names);
  if (node !== null) return node;
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
  const command = `kubectl get services -n ${namespace} lists those that exist`;
  const known = servicesIn(namespace, names);
  return [absent, names.objects.lab ? command : othersText(known, names.objects)];
}

/** The Service that a name means; null for none. Keys are `NAMESPACE/NAME`. */
export function serviceMeant(name: string, own: string, { services }: Names): string | null {
  const keys = meaningsOf(name, own).map(({ namespace, service }) => `${namespace}/${service}`);
  return keys.find((key) => services.has(key)) ?? null;
}

/**
 * Lines about a name such as kube-dns.nope, which is one of the internet unless its namespace is a
 * mistake. Empty if no namespace has a Service with its first label.
 */
export function tellElsewhere(name: string, names: Names): string[] {
  const [service = '', namespace, ...more] = name.toLowerCase().replace(/\.$/, '').split('.');
  if (namespace === undefined || more.length > 0) return [];
  const [other] = namespacesWith(service, names);
  if (other === undefined || names.namespaces.has(namespace)) return [];
  const why = `there is no namespace ${namespace}, but Service ${other}/${service} exists`;
  return [why, `ask ${service}.${other} for that Service`];
}

function fullName({ namespace, service, endpoint }: Meaning): string {
  return `${endpoint === null ? '' : `${endpoint}.`}${service}.${namespace}.${DOMAIN}.`;
}

/** The Service exists, and none of the queries is for it. */
function tellNotAsked(name: string, full: string, key: string): string[] {
  if (name.endsWith('.')) {
    const why = `${name} is NXDOMAIN: the dot at its end skips the search list`;
    const next = `ask ${name.slice(0, -1)}, or ${full}`;
    return [`${why}, and Service ${key} has the name ${full}`, next];
  }
  const why = `Service ${key} has the name ${full}, which the search list of the pod does not make`;
  return [why, `ask ${full}`];
}

/** A name whose first labels are of the cluster, with a mistake in its domain. */
function tellDomain(name: string, { namespaces }: Names): string[] | null {
  const labels = name.toLowerCase().replace(/\.$/, '').split('.');
  if (isLong(name)) return null;
  for (const count of [2, 3]) {
    const [head, rest] = [labels.slice(0, count), labels.slice(count).join('.')];
    if (!namespaces.has(head[count - 1]!) || closest(rest, DOMAIN_PARTS) === null) continue;
    const meant = `${head.join('.')}.${DOMAIN}`;
    return [`${name} does not end with ${DOMAIN}`, `did you mean ${meant}?`];
  }
  return null;
}

function tellNode(name: string, meanings: Meaning[], { objects }: Names): string[] | null {
  const wanted = new Set([name.toLowerCase().replace(/\.$/, ''), meanings[0]?.service]);
  const node = objects.nodes.find(({ metadata }) => wanted.has(metadata?.name ?? ''));
  if (!node) return null;
  const own = node.status?.addresses?.find(({ type }) => type === 'InternalIP')?.address;
  const why = `${node.metadata?.name} is a node, and nodes have no names in DNS`;
  return [why, own === undefined ? 'give an address' : `give its address, ${own}`];
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
  if (!isOwn) return null;
  const command = 'kubectl get namespaces lists those that exist';
  const { objects, namespaces } = names;
  return [absent, objects.lab ? command : othersText([...namespaces], objects)];
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
  if (!spec?.clusterIP) return noClusterIP(key, names.objects);
  if (spec.clusterIP !== 'None') return [`Service ${key} has no IPv4 address`];
  const missing = noSlices(key, names.objects);
  if (missing !== null) return missing;
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
