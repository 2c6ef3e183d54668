// How a write changes the owners of fields: structured-merge-diff/v4/merge/update.go and
// apimachinery/pkg/util/managedfields/internal.
import type { KubeObject } from '../../kube/object.ts';
import { StatusError } from '../status.ts';
import {
  difference,
  type FieldSet,
  intersection,
  isEmpty,
  isSame,
  paths,
  union,
} from './field-set.ts';
import { type Comparison, compare, present } from './fields.ts';
import {
  entryOf,
  isEntryOf,
  type ManagedFields,
  managersOf,
  settle,
  type Writer,
} from './managers.ts';
import { type Schema, schemaOf } from './schema.ts';

/** Fields without an owner: identity, and what only the server writes. */
const UNOWNED: FieldSet = {
  'f:apiVersion': {},
  'f:kind': {},
  'f:metadata': {
    '.': {},
    'f:creationTimestamp': {},
    'f:generation': {},
    'f:managedFields': {},
    'f:name': {},
    'f:namespace': {},
    'f:resourceVersion': {},
    'f:selfLink': {},
    'f:uid': {},
  },
};

/** The fields of another manager that a change takes over. */
export interface Taken {
  entry: ManagedFields;
  fields: FieldSet;
}

/**
 * Managers after an update. A manager that changes a field becomes its only owner. An object
 * without managers stays without them: only a create or an apply starts the record.
 */
export function recordUpdate(
  managers: ManagedFields[],
  old: KubeObject | undefined,
  object: KubeObject,
  writer: Writer,
  now: string,
): ManagedFields[] {
  if (old && managers.length === 0) return [];
  const comparison = compareObjects(old, object, schemaOf(object.kind ?? ''), writer);
  const owned = difference(present(comparison), UNOWNED);
  if (isEmpty(owned) && isEmpty(comparison.removed)) return managers;
  const before = managers.find((entry) => isEntryOf(entry, writer));
  const own = union(difference(before?.fieldsV1 ?? {}, comparison.removed), owned);
  const time = isEmpty(owned) ? before?.time : now;
  return settle([...withoutChanged(managers, comparison, writer), entryOf(writer, own, time)]);
}

/**
 * Managers after an apply: the applier owns the applied fields, and other managers lose what
 * changed.
 */
export function recordApply(
  managers: ManagedFields[],
  comparison: Comparison,
  applied: FieldSet,
  writer: Writer,
  now: string,
): ManagedFields[] {
  const before = managers.find((entry) => isEntryOf(entry, writer));
  const isKnown = before !== undefined && isSame(before.fieldsV1, applied);
  const changes = !isEmpty(present(comparison)) || !isEmpty(comparison.removed);
  const time = isKnown && !changes ? before.time : now;
  return settle([...withoutChanged(managers, comparison, writer), entryOf(writer, applied, time)]);
}

/** What a change takes from other managers. */
export function takenBy(
  comparison: Comparison,
  managers: ManagedFields[],
  writer: Writer,
): Taken[] {
  const changed = present(comparison);
  return managers
    .filter((entry) => !isEntryOf(entry, writer))
    .map((entry) => ({ entry, fields: intersection(entry.fieldsV1, changed) }))
    .filter(({ fields }) => !isEmpty(fields));
}

/** The fields of a set that can have an owner. */
export function ownable(set: FieldSet): FieldSet {
  return difference(set, UNOWNED);
}

/**
 * Managers of a live object before its first apply. If it has none, one entry owns all its fields.
 */
export function managersBeforeApply(
  live: KubeObject,
  apiVersion: string,
  now: string,
): ManagedFields[] {
  const known = managersOf(live);
  if (known.length > 0) return known;
  const writer: Writer = { manager: 'before-first-apply', operation: 'Update', apiVersion };
  return recordUpdate([], undefined, live, writer, now);
}

/**
 * The difference of two objects in ownable fields. The status counts for writes of the status only.
 */
export function compareObjects(
  old: KubeObject | undefined,
  object: KubeObject,
  schema: Schema,
  { subresource }: Writer,
): Comparison {
  const { added, modified, removed } = compare(old ?? {}, object, schema);
  const owned = subresource === 'status' ? ownable : (set: FieldSet) => withoutStatus(ownable(set));
  return { added: owned(added), modified: owned(modified), removed: owned(removed) };
}

function withoutStatus({ 'f:status': _status, ...rest }: FieldSet): FieldSet {
  return rest;
}

function withoutChanged(
  managers: ManagedFields[],
  { added, modified, removed }: Comparison,
  writer: Writer,
): ManagedFields[] {
  const changed = union(union(added, modified), removed);
  return managers
    .filter((entry) => !isEntryOf(entry, writer))
    .map((entry) => ({ ...entry, fieldsV1: difference(entry.fieldsV1, changed) }));
}

// Conflicts: apimachinery/pkg/util/managedfields/internal/conflict.go.

/** The refusal of an apply, with a cause for each field that another manager owns. */
export function applyConflict(taken: Taken[]): StatusError {
  const conflicts = taken
    .map(({ entry, fields }) => ({ owner: describe(entry), fields: [...paths(fields)].sort() }))
    .sort((a, b) => (a.owner < b.owner ? -1 : 1));
  const causes = conflicts.flatMap(({ owner, fields }) =>
    fields.map((field) => ({
      reason: 'FieldManagerConflict',
      message: `conflict with ${owner}`,
      field,
    })),
  );
  const [first] = causes;
  const text =
    causes.length === 1
      ? `1 conflict: ${first!.message}: ${first!.field}`
      : `${causes.length} conflicts: ${conflicts.map(list).join('\n')}`;
  return new StatusError(409, 'Conflict', `Apply failed with ${text}`, { causes });
}

function list({ owner, fields }: { owner: string; fields: string[] }): string {
  return [`conflicts with ${owner}:`, ...fields.map((field) => `- ${field}`)].join('\n');
}

function describe({ manager, operation, apiVersion, subresource }: ManagedFields): string {
  const name = JSON.stringify(manager);
  const what = subresource ? `${name} with subresource ${JSON.stringify(subresource)}` : name;
  return operation === 'Update' ? `${what} using ${apiVersion}` : what;
}
