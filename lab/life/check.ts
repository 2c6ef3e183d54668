// Checks manifests before anything is made, with the API server's own rules in memory.
import { StatusError } from '../../control/apiserver/status.ts';
import { Store } from '../../control/apiserver/store/store.ts';
import { SERVED } from '../../control/apiserver/verbs/kinds.ts';
import { Registry } from '../../control/apiserver/verbs/registry.ts';
import { seedCluster } from '../../control/cluster/seed.ts';
import { NODE_PORT_MAX, NODE_PORT_MIN } from '../../control/compile/node-entry.ts';
import { API_PORT, apiAddress, type Topology } from '../topology/topology.ts';
import { yamlError } from '../yaml/document.ts';
import { type ManifestObject, pathOfField } from './manifest.ts';

/**
 * Throws KubetunError KT_YAML, with file and line, for the first object that the API server would
 * refuse.
 */
export function checkManifests(objects: ManifestObject[], { nodes, ranges }: Topology): void {
  const registry = new Registry(new Store(SERVED), {
    serviceRange: ranges.services,
    nodePortMin: NODE_PORT_MIN,
    nodePortMax: NODE_PORT_MAX,
  });
  const api = { address: apiAddress(ranges), port: API_PORT };
  seedCluster(registry, ranges.services, api);
  const names = new Set(nodes.map((node) => node.name));
  for (const item of objects) {
    const { kind, namespace = '', object } = item;
    try {
      const row = SERVED.find((served) => served.kind === kind)!;
      registry.create(row, namespace, object, { dryRun: false, strict: true, duplicates: [] });
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      throw refusal(item, error);
    }
    const node = (object.spec as { nodeName?: string } | undefined)?.nodeName;
    if (kind === 'Pod' && node !== undefined && !names.has(node)) {
      const known = [...names].join(', ');
      throw fieldError(item, 'spec.nodeName', `there is no node ${node}, only ${known}`);
    }
  }
}

/** The server's refusal, with the line of the field that it names. */
function refusal(item: ManifestObject, error: StatusError): Error {
  const cause = error.details.causes?.[0];
  if (cause) return fieldError(item, cause.field, `${cause.field}: ${cause.message}`);
  return fieldError(item, '', error.message);
}

function fieldError(item: ManifestObject, field: string, message: string): Error {
  return yamlError(
    item.document.locate(pathOfField(field)),
    `${item.kind} ${item.name}: ${message}`,
  );
}
