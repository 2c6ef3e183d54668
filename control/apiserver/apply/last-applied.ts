// The annotation in which client-side apply keeps its last configuration. It lets kubectl change to
// server-side apply and take over what it applied before: managedfields/internal/lastapplied*.go.
import { isObject, type KubeObject } from '../../kube/object.ts';
import { difference, type FieldSet, isEmpty, NOTHING, union } from './field-set.ts';
import { compare, fieldSetOf } from './fields.ts';
import type { Taken } from './ownership.ts';
import type { Schema } from './schema.ts';

const ANNOTATION = 'kubectl.kubernetes.io/last-applied-configuration';
/** The manager name that both kinds of apply use. */
const KUBECTL = 'kubectl';

/** True if kubectl set all of these fields itself and they are unchanged since. */
export function wasAppliedByKubectl(
  live: KubeObject,
  taken: Taken[],
  manager: string,
  schema: Schema,
): boolean {
  if (manager !== KUBECTL) return false;
  const wanted = taken.map(({ fields }) => fields).reduce(union, NOTHING);
  return isEmpty(difference(wanted, fieldsLastApplied(live, schema)));
}

function fieldsLastApplied(live: KubeObject, schema: Schema): FieldSet {
  const applied = parse(live.metadata.annotations?.[ANNOTATION]);
  if (applied?.apiVersion !== live.apiVersion) return NOTHING;
  const { added, modified, removed } = compare(applied, live, schema);
  return [added, modified, removed].reduce(difference, fieldSetOf(applied, schema));
}

function parse(text: string | undefined): Record<string, unknown> | null {
  if (!text) return null;
  try {
    const applied: unknown = JSON.parse(text);
    return isObject(applied) ? applied : null;
  } catch {
    return null;
  }
}

/** Updates an existing annotation, so that kubectl can go back to client-side apply. */
export function withLastApplied(
  object: KubeObject,
  config: KubeObject,
  manager: string,
): KubeObject {
  if (manager !== KUBECTL || !object.metadata.annotations?.[ANNOTATION]) return object;
  const { [ANNOTATION]: _old, ...annotations } = config.metadata.annotations ?? {};
  const bare: KubeObject = { ...config, metadata: { ...config.metadata, annotations } };
  if (Object.keys(annotations).length === 0) delete bare.metadata.annotations;
  const text = `${JSON.stringify(bare)}\n`;
  const kept = { ...object.metadata.annotations, [ANNOTATION]: text };
  return { ...object, metadata: { ...object.metadata, annotations: kept } };
}
