// All served kinds in one document, for clients that accept it (KEP-3352).

const TYPE = /^application\/json;g=apidiscovery\.k8s\.io;v=(v2|v2beta1);as=APIGroupDiscoveryList$/;

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

/**
 * The answer to `/api` or `/apis` for a client that accepts an APIGroupDiscoveryList, and its media
 * type. Null for other requests.
 *
 * @param documents the other discovery documents, by path.
 */
export function aggregatedDiscovery(
  path: string,
  accept: string,
  documents: Map<string, object>,
): { type: string; document: object } | null {
  if (path !== '/api' && path !== '/apis') return null;
  const type = accept
    .split(',')
    .find((part) => TYPE.test(part.trim()))
    ?.trim();
  if (!type) return null;
  const groups = new Map<string, object[]>();
  for (const document of documents.values()) {
    const { kind, groupVersion, resources } = document as {
      kind: string;
      groupVersion: string;
      resources: Resource[];
    };
    if (kind !== 'APIResourceList' || groupVersion.includes('/') !== (path === '/apis')) continue;
    const [version, group = ''] = groupVersion.split('/').reverse() as [string, string?];
    const versions = groups.get(group) ?? [];
    groups.set(group, versions);
    versions.push({
      version,
      resources: aggregate(resources, group, version),
      freshness: 'Current',
    });
  }
  const document = {
    kind: 'APIGroupDiscoveryList',
    apiVersion: `apidiscovery.k8s.io/${TYPE.exec(type)![1]}`,
    metadata: {},
    items: [...groups].map(([name, versions]) => ({ metadata: name ? { name } : {}, versions })),
  };
  return { type, document };
}

function aggregate(resources: Resource[], group: string, version: string): object[] {
  const kindOf = (row: Resource) => ({
    group,
    version,
    ...pick(row, ['group', 'version', 'kind']),
  });
  return resources
    .filter(({ name }) => !name.includes('/'))
    .map((row) => {
      const prefix = `${row.name}/`;
      const subresources = resources
        .filter(({ name }) => name.startsWith(prefix))
        .map((sub) => ({
          subresource: sub.name.slice(prefix.length),
          responseKind: kindOf(sub),
          verbs: sub.verbs,
        }));
      return {
        resource: row.name,
        responseKind: kindOf(row),
        scope: row.namespaced ? 'Namespaced' : 'Cluster',
        singularResource: row.singularName,
        ...pick(row, ['verbs', 'shortNames', 'categories']),
        ...(subresources.length > 0 && { subresources }),
      };
    });
}

function pick(row: Resource, fields: (keyof Resource)[]): object {
  return Object.fromEntries(fields.filter((f) => row[f] !== undefined).map((f) => [f, row[f]]));
}
