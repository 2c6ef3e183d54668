// What the objects of a question lack, and the command that gives it.

import { objectKey } from '../model/parse.ts';
import { labFlag } from '../places.ts';
import type { ClusterObjects } from './objects.ts';

/** What is missing, and the next step. */
type Missing = [message: string, next: string];

const FULL =
  'kubectl get nodes,pods,services,endpointslices,namespaces,networkpolicies -A -o yaml ' +
  'makes a file with all kinds';
const OTHERS_TOLD_MAX = 5;
const LABEL_SERVICE = 'kubernetes.io/service-name';

/** The option that names the lab in a command; empty for files. */
export function flagOf({ lab }: ClusterObjects): string {
  return lab === null ? '' : labFlag(lab);
}

/** Null for objects with such a kind, and for those of a lab, which are all there are. */
export function noKind(
  kind: 'Node' | 'Pod' | 'Service',
  { lab, nodes, pods, services }: ClusterObjects,
): Missing | null {
  const list = { Node: nodes, Pod: pods, Service: services }[kind];
  return lab === null && list.length === 0 ? [`the objects contain no ${kind}`, FULL] : null;
}

/** The names that files have instead of a missing one. */
export function othersText(known: string[], objects: ClusterObjects): string {
  if (known.length === 0) {
    return noKind('Service', objects)?.join(': ') ?? 'the objects contain no Service there';
  }
  const more = known.length > OTHERS_TOLD_MAX ? ', and others' : '';
  return `the objects contain ${known.slice(0, OTHERS_TOLD_MAX).join(', ')}${more}`;
}

/** Null if a Service has an EndpointSlice, or the objects are those of a lab. */
export function noSlices(key: string, { lab, slices }: ClusterObjects): Missing | null {
  if (lab !== null) return null;
  const isOwn = ({ metadata }: (typeof slices)[number]) =>
    objectKey({ ...metadata, name: metadata?.labels?.[LABEL_SERVICE] ?? '' }) === key;
  return slices.some(isOwn)
    ? null
    : [`the objects contain no EndpointSlice of Service ${key}`, FULL];
}

export function noClusterIP(key: string, { lab }: ClusterObjects): Missing {
  const [namespace, name] = key.split('/');
  const why = `service ${key} has no spec.clusterIP`;
  if (lab !== null) return [why, `kubectl describe service -n ${namespace} ${name} shows why`];
  return [`${why}, as a manifest has none`, FULL];
}

/** Why the pod of a key sends nothing; null if it does, or is not there. */
export function podTrouble(key: string, objects: ClusterObjects): Missing | null {
  const pod = objects.pods.find(({ metadata }) => objectKey(metadata) === key);
  if (!pod) return noKind('Pod', objects);
  const { phase, podIP } = pod.status ?? {};
  if (phase === 'Succeeded' || phase === 'Failed') {
    return [`pod ${key} has ended (${phase})`, 'give a pod that runs'];
  }
  if (podIP) return null;
  const [namespace, name] = key.split('/');
  const why = `pod ${key} has no status.podIP`;
  if (objects.lab === null) return [`${why}, as a manifest has none`, FULL];
  return [why, `kubectl describe pod -n ${namespace} ${name} shows why it has not started`];
}
