// The downward API: fields and resources of a pod. Source: pkg/fieldpath, pkg/api/v1/resource.
import { availableParallelism, totalmem } from 'node:os';
import type { Container, Pod } from '../../../control/kube/kinds.ts';
import { own } from '../../../control/kube/object.ts';
import { parseQuantity, unitsOf } from '../../../control/model/quantity.ts';

/** Values that the pod's object does not have yet when its containers start. */
export interface Given {
  podIP: string;
  hostIP: string;
  hostname: string;
}

/** A field of the pod. Empty if the pod has no such field. */
export function readField(path: string, pod: Pod, given: Given): string {
  const { metadata, spec } = pod;
  const labelled = /^metadata\.(labels|annotations)(?:\['(.+)'\])?$/.exec(path);
  if (labelled) {
    const map = metadata?.[labelled[1] as 'labels' | 'annotations'] ?? {};
    return labelled[2] === undefined ? formatMap(map) : (own(map, labelled[2]) ?? '');
  }
  const fields: Record<string, string | undefined> = {
    'metadata.name': metadata?.name,
    'metadata.namespace': metadata?.namespace,
    'metadata.uid': metadata?.uid,
    'spec.nodeName': spec?.nodeName,
    'spec.serviceAccountName': spec?.serviceAccountName,
    'status.podIP': given.podIP,
    'status.podIPs': given.podIP,
    'status.hostIP': given.hostIP,
    'status.hostIPs': given.hostIP,
  };
  return own(fields, path) ?? '';
}

/** One line per entry, in the format of label files. */
function formatMap(map: Record<string, string>): string {
  return Object.keys(map)
    .sort()
    .map((key) => `${key}=${JSON.stringify(map[key])}`)
    .join('\n');
}

/**
 * A resource such as `limits.cpu` in units of the divisor, rounded up. Without a limit it is the
 * capacity of the machine.
 */
export function readResource(container: Container, resource: string, divisor = '1'): string {
  const [list, name = ''] = resource.split('.') as ['limits' | 'requests', string?];
  const { resources } = container;
  const given = own(resources?.[list], name) ?? (list === 'limits' ? undefined : '0');
  const machine: Record<string, number> = { cpu: availableParallelism(), memory: totalmem() };
  const value = given === undefined ? (own(machine, name) ?? 0) : parseQuantity(String(given));
  return String(unitsOf(value, parseQuantity(divisor) || 1));
}
