// Discovery documents.

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

/** Documents by path. */
export function discoveryDocuments(): Map<string, object> {
  const documents = new Map<string, object>();
  documents.set('/version', VERSION);
  documents.set('/api', { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] });
  documents.set('/apis', { kind: 'APIGroupList', apiVersion: 'v1', groups: groups() });
  for (const apiVersion of new Set(SERVED.map((row) => row.apiVersion))) {
    const path = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`;
    documents.set(path, resourceList(apiVersion));
  }
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

function resources(row: ServedKind): object[] {
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
  return [own, ...(row.hasStatus ? [part('status')] : []), ...(row.hasScale ? [scale] : [])];
}
