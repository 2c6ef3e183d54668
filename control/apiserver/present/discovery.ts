// Discovery documents.

import { rootOf } from '../../kube/kinds.ts';
import type { ServedKind } from '../kind.ts';
import { SERVED } from '../verbs/kinds.ts';

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

/** The version of Kubernetes that clients see. They choose their behaviour by it. */
const VERSION = {
  major: '1',
  minor: '33',
  gitVersion: 'v1.33.0+kubetun',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: '',
  compiler: '',
  platform: 'linux/amd64',
};

/**
 * Before it names an unknown kind, kubectl looks for a CustomResourceDefinition of it. No other
 * request reaches this group, so discovery does not list it.
 */
const DEFINITIONS_PATH = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const NO_DEFINITIONS = {
  kind: 'CustomResourceDefinitionList',
  apiVersion: 'apiextensions.k8s.io/v1',
  metadata: { resourceVersion: '1' },
  items: [],
};

/** Documents by path. */
export function discoveryDocuments(): Map<string, object> {
  const documents = new Map<string, object>();
  documents.set('/version', VERSION);
  documents.set('/api', { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] });
  documents.set('/apis', { kind: 'APIGroupList', apiVersion: 'v1', groups: groups() });
  for (const apiVersion of new Set(SERVED.map((row) => row.apiVersion))) {
    documents.set(rootOf(apiVersion), resourceList(apiVersion));
  }
  documents.set(DEFINITIONS_PATH, NO_DEFINITIONS);
  for (const group of groups())
    documents.set(`/apis/${group.name}`, { kind: 'APIGroup', apiVersion: 'v1', ...group });
  return documents;
}

function groups() {
  const versions = new Set(SERVED.filter((row) => row.group !== '').map((row) => row.apiVersion));
  return [...versions].map((groupVersion) => {
    const [name, version] = groupVersion.split('/') as [string, string];
    const preferred = { groupVersion, version };
    return { name, versions: [preferred], preferredVersion: preferred };
  });
}

function resourceList(groupVersion: string): object {
  const rows = SERVED.filter((row) => row.apiVersion === groupVersion);
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion,
    resources: rows.flatMap(resources),
  };
}

/** A resource of an APIResourceList. Subresources have names such as `pods/status`. */
interface Resource {
  name: string;
  singularName: string;
  namespaced: boolean;
  kind: string;
  /** The group of its kind, if it is not the list's group. */
  group?: string;
  version?: string;
  verbs: string[];
  shortNames?: string[];
  categories?: string[];
}

/** A kind, then its subresources. */
function resources(row: ServedKind): [Resource, ...Resource[]] {
  const { plural, singular, namespaced, kind, shortNames, categories } = row;
  const own = {
    name: plural,
    singularName: singular,
    namespaced,
    kind,
    verbs: VERBS,
    ...(shortNames.length > 0 && { shortNames }),
    ...(categories.length > 0 && { categories }),
  };
  const part = (name: string) => ({
    name: `${plural}/${name}`,
    singularName: '',
    namespaced,
    kind,
    verbs: ['get', 'patch', 'update'],
  });
  const scale = { ...part('scale'), group: 'autoscaling', version: 'v1', kind: 'Scale' };
  const about = { group: 'policy', version: 'v1', kind: 'Eviction', verbs: ['create'] };
  return [
    own,
    ...(row.hasStatus ? [part('status')] : []),
    ...(row.hasScale ? [scale] : []),
    ...(kind === 'Pod' ? [{ ...part('eviction'), ...about }] : []),
  ];
}

// All served kinds in one document, for clients that accept it (KEP-3352).

const TYPE = /^application\/json;g=apidiscovery\.k8s\.io;v=(v2|v2beta1);as=APIGroupDiscoveryList$/;

/**
 * The answer to `/api` or `/apis` for a client that accepts an APIGroupDiscoveryList, and its media
 * type. Null for other requests.
 */
export function aggregatedDiscovery(
  path: string,
  accept: string,
): { type: string; document: object } | null {
  if (path !== '/api' && path !== '/apis') return null;
  const type = accept
    .split(',')
    .map((part) => part.trim())
    .find((part) => TYPE.test(part));
  if (!type) return null;
  const rows = SERVED.filter(({ group }) => (group === '') === (path === '/api'));
  const items = [...Map.groupBy(rows, ({ group }) => group)].map(([name, ofGroup]) => ({
    metadata: name ? { name } : {},
    versions: [...Map.groupBy(ofGroup, ({ version }) => version)].map(([version, kinds]) => ({
      ...{ version, resources: kinds.map(aggregate), freshness: 'Current' },
    })),
  }));
  const apiVersion = `apidiscovery.k8s.io/${TYPE.exec(type)![1]}`;
  return { type, document: { kind: 'APIGroupDiscoveryList', apiVersion, metadata: {}, items } };
}

function aggregate(row: ServedKind): object {
  const [own, ...parts] = resources(row);
  const { name, namespaced, singularName, verbs, shortNames, categories } = own;
  const kindOf = ({ group = row.group, version = row.version, kind }: Resource) => ({
    ...{ group, version, kind },
  });
  const subresources = parts.map((part) => ({
    subresource: part.name.slice(name.length + 1),
    responseKind: kindOf(part),
    verbs: part.verbs,
  }));
  return {
    resource: name,
    responseKind: kindOf(own),
    scope: namespaced ? 'Namespaced' : 'Cluster',
    singularResource: singularName,
    verbs,
    ...(shortNames && { shortNames }),
    ...(categories && { categories }),
    ...(subresources.length > 0 && { subresources }),
  };
}
