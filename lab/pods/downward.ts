// The downward API: what a pod is told of itself. pkg/fieldpath, pkg/api/v1/resource.
import { availableParallelism, totalmem } from 'node:os';
import { own } from '../../control/apiserver/own.ts';
import type { Container, Pod } from '../../control/kube/kinds.ts';

/** What a pod's object does not say yet when its containers start. */
export interface Given {
  podIP: string;
  hostIP: string;
  hostname: string;
}

const SUFFIXES: Record<string, number> = {
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** A field of the pod; empty if it has no such field. */
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

/** One line for each, as files of labels have them. */
function formatMap(map: Record<string, string>): string {
  return Object.keys(map)
    .sort()
    .map((key) => `${key}=${JSON.stringify(map[key])}`)
    .join('\n');
}

/** `limits.cpu` and the like in units of the divisor, rounded up. Without a limit it is what the machine has. */
export function readResource(container: Container, resource: string, divisor = '1'): string {
  const [list, name = ''] = resource.split('.') as ['limits' | 'requests', string?];
  const { resources } = container;
  const given = own(resources?.[list], name) ?? (list === 'limits' ? undefined : '0');
  const machine: Record<string, number> = { cpu: availableParallelism(), memory: totalmem() };
  const value = given === undefined ? (own(machine, name) ?? 0) : parseQuantity(String(given));
  // Parts of a million hide what binary fractions do to 0.1.
  return String(Math.ceil(Number((value / (parseQuantity(divisor) || 1)).toFixed(6))));
}

/** `500m`, `64Mi`, `1e3`; 0 of what is none. apimachinery/pkg/api/resource. */
function parseQuantity(text: string): number {
  const [, number, suffix = ''] = /^([+-]?[\d.]+(?:[eE][+-]?\d+)?)([a-zA-Z]*)$/.exec(text) ?? [];
  return Number(number ?? 0) * (own(SUFFIXES, suffix) ?? 0);
}
