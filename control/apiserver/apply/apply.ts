// Server-side apply: structured-merge-diff/v4/merge/update.go (Apply, prune).
import type { KubeObject } from '../../kube/object.ts';
import { difference, type FieldSet, intersection, isEmpty, NOTHING, union } from './field-set.ts';
import { fieldSetOf, withNamedFields } from './fields.ts';
import { wasAppliedByKubectl, withLastApplied } from './last-applied.ts';
import { isEntryOf, type ManagedFields, managersOf, type Writer } from './managers.ts';
import { merge, removeFields, withoutNulls } from './merge.ts';
import {
  applyConflict,
  compareObjects,
  managersBeforeApply,
  ownable,
  recordApply,
  takenBy,
} from './ownership.ts';
import { type Schema, schemaOf } from './schema.ts';

export interface Applied {
  /** The live object merged with the configuration. */
  object: KubeObject;
  managers: ManagedFields[];
}

/**
 * Applies a configuration to an object. Sets its fields and makes this manager their owner. Removes
 * fields that this manager applied earlier and no longer applies, unless another manager owns them.
 * Changes neither argument. Throws StatusError Conflict for fields of others that would change,
 * unless `force` is set.
 *
 * @param live null if the object does not exist yet.
 */
export function applyConfig(
  live: KubeObject | null,
  config: KubeObject,
  writer: Writer,
  force: boolean,
  now: string,
): Applied {
  const schema = schemaOf(config.kind ?? '');
  const configured = fieldSetOf(config, schema);
  const applied = ownable(configured);
  if (live === null) {
    const managers = recordApply(
      [],
      compareObjects(undefined, config, schema, writer),
      applied,
      writer,
      now,
    );
    return { object: withoutNulls(config) as KubeObject, managers };
  }
  // An empty configuration needs no record of earlier managers.
  const managers = isEmpty(applied)
    ? managersOf(live)
    : managersBeforeApply(live, writer.apiVersion, now);
  const before = managers.find((entry) => isEntryOf(entry, writer))?.fieldsV1 ?? NOTHING;
  const owned = managers
    .filter((entry) => !isEntryOf(entry, writer))
    .map((entry) => entry.fieldsV1)
    // Includes the name: identity is never pruned.
    .reduce(union, configured);
  const merged = prune(merge(live, config, schema), before, owned, schema) as KubeObject;
  const comparison = compareObjects(live, merged, schema, writer);
  const taken = takenBy(comparison, managers, writer);
  if (taken.length > 0 && !force && !wasAppliedByKubectl(live, taken, writer.manager, schema)) {
    throw applyConflict(taken);
  }
  const object = withoutNulls(merged) as KubeObject;
  return {
    object: withLastApplied(object, config, writer.manager),
    managers: recordApply(managers, comparison, applied, writer, now),
  };
}

/**
 * Removes what this manager applied before and does not apply now. Keeps what another manager owns,
 * and what had no owner. Removing a list item also removes its fields without an owner. An apply of
 * a part of an item makes the manager own the item; an update does not.
 */
function prune(merged: unknown, before: FieldSet, owned: FieldSet, schema: Schema): unknown {
  if (isEmpty(before)) return merged;
  const named = (set: FieldSet) => withNamedFields(set, schema);
  const all = named(fieldSetOf(merged, schema));
  const without = (set: FieldSet) => removeFields(merged, set, schema) ?? {};
  const leftOf = (value: unknown) => named(fieldSetOf(value, schema));
  const first = without(named(before));
  const second = without(difference(all, union(leftOf(first), named(owned))));
  return without(intersection(difference(all, leftOf(second)), named(before)));
}
