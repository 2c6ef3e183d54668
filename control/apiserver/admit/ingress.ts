// Admission of Ingresses: plugin/pkg/admission/network/defaultingressclass.
import type { KubeObject } from '../../kube/object.ts';
import { defaultClass } from '../../model/storage.ts';
import type { Lookup } from '../kind.ts';

const CLASS_ANNOTATION = 'kubernetes.io/ingress.class';
const DEFAULT_INGRESS_CLASS = 'ingressclass.kubernetes.io/is-default-class';

/** Gives a new Ingress the default class if it names none. */
export function admitIngress(
  others: Lookup,
  ingress: KubeObject,
  _name: string,
  old?: KubeObject,
): void {
  const { metadata, spec } = ingress;
  if (old || !spec || spec.ingressClassName !== undefined) return;
  if (metadata.annotations?.[CLASS_ANNOTATION] !== undefined) return;
  const found = defaultClass(others.list('ingressclasses'), DEFAULT_INGRESS_CLASS);
  if (found) spec.ingressClassName = found.metadata.name;
}
