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
  /** The live object with the configuration; the live one's metadata but for what is configured. */
  object: KubeObject;
  managers: ManagedFields[];
}

/**
 * What an object becomes when a configuration is applied to it: the configuration's fields are set
 * and owned, those that this manager applied before and no longer does are removed unless somebody
 * else owns them. Changes neither. Throws StatusError Conflict for fields of others that would
 * change, unless forced.
 *
 * @param live null: there is none yet.
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
  // Where nothing is applied and nothing is known there is nothing to tell apart.
  const managers = isEmpty(applied)
    ? managersOf(live)
    : managersBeforeApply(live, writer.apiVersion, now);
  const before = managers.find((entry) => isEntryOf(entry, writer))?.fieldsV1 ?? NOTHING;
  const owned = managers
    .filter((entry) => !isEntryOf(entry, writer))
    .map((entry) => entry.fieldsV1)
    // With its name: what makes an object one is never pruned.
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
 * Takes away what this manager applied before, then puts back what anybody owns now, and what
 * nobody ever owned. An item of a list goes with all that is in it when nobody owns the item
 * itself; who applies a part of it does, who updates a part does not.
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
