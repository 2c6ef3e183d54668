// Which Ingresses a controller serves.
import type { Ingress, IngressClass } from './model.ts';

const ANNOTATION_CLASS = 'kubernetes.io/ingress.class';
const ANNOTATION_DEFAULT = 'ingressclass.kubernetes.io/is-default-class';

/**
 * A test for Ingresses whose class has `controller` as its spec.controller. The old annotation
 * comes before spec.ingressClassName, as in ingress-nginx. An Ingress without a class belongs to
 * the newest default class. Source: k8s plugin/pkg/admission/network/defaultingressclass.
 */
export function classFilter(
  classes: readonly IngressClass[],
  controller: string,
): (ingress: Ingress) => boolean {
  const isOurs = ({ spec }: IngressClass) => spec?.controller === controller;
  const own = new Set(classes.filter(isOurs).map(({ metadata }) => metadata?.name));
  const isDefault = ({ metadata }: IngressClass) =>
    metadata?.annotations?.[ANNOTATION_DEFAULT] === 'true';
  const [standard] = classes.filter(isDefault).sort(newestFirst);
  const takesOthers = standard !== undefined && isOurs(standard);
  return ({ metadata, spec }) => {
    const name = metadata?.annotations?.[ANNOTATION_CLASS] ?? spec?.ingressClassName;
    return name === undefined ? takesOthers : own.has(name);
  };
}

function newestFirst(a: IngressClass, b: IngressClass): number {
  const [created, name] = [createdMs(b) - createdMs(a), nameOf(a) < nameOf(b)];
  return created || (name ? -1 : 1);
}

/** Oldest first, then by namespace and name: the first of two equal rules is served. */
export function oldestFirst(a: Ingress, b: Ingress): number {
  return createdMs(a) - createdMs(b) || (nameOf(a) < nameOf(b) ? -1 : 1);
}

function createdMs({ metadata }: Ingress | IngressClass): number {
  return Date.parse(metadata?.creationTimestamp ?? '') || 0;
}

function nameOf({ metadata }: Ingress | IngressClass): string {
  return `${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`;
}
