// The fields of a value, and the fields in which two values differ: structured-merge-diff/v4/typed.
import { isEqual, isObject } from '../../kube/object.ts';
import { elements, type FieldSet, hasMember, NOTHING, node, union } from './field-set.ts';
import { ALWAYS_THERE } from './list-kinds.ts';
import { elementsOf, type Schema, schemaBelow } from './schema.ts';

/**
 * Fields that differ between an older and a newer value, with the parents of added and removed
 * fields.
 */
export interface Comparison {
  added: FieldSet;
  modified: FieldSet;
  removed: FieldSet;
}

type Change = { [K in keyof Comparison]?: FieldSet };

/** The fields that a value sets: leaves, items of lists, keys of maps. */
export function fieldSetOf(value: unknown, schema: Schema): FieldSet {
  return treeOf(value, schema, false);
}

/** A list that does not fit its schema counts as one value. */
export function compare(old: unknown, current: unknown, schema: Schema): Comparison {
  const { added, modified, removed } = changeOf(old, current, schema) ?? {};
  return {
    added: added ?? NOTHING,
    modified: modified ?? NOTHING,
    removed: removed ?? NOTHING,
  };
}

/** Adds declared fields that have members below them, so that both can be removed together. */
export function withNamedFields(set: FieldSet, schema: Schema): FieldSet {
  const result: Record<string, FieldSet> = {};
  for (const [element, below] of elements(set)) {
    const named = withNamedFields(below, schemaBelow(schema, element));
    const declared = schema.shape === 'struct' && schema.has(element.slice(2));
    result[element] = node(named, declared || hasMember(set, element))!;
  }
  return result;
}

/** Groups items by element. An element that occurs twice has several items. */
export function itemsBy(found: string[], list: unknown[]): Map<string, unknown[]> {
  const items = new Map<string, unknown[]>();
  for (const [i, element] of found.entries()) {
    const same = items.get(element);
    if (same) same.push(list[i]);
    else items.set(element, [list[i]]);
  }
  return items;
}

/** @param parents whether structures and lists are members too, as for added values. */
function treeOf(value: unknown, schema: Schema, parents: boolean): FieldSet {
  const result: Record<string, FieldSet> = {};
  if (isObject(value) && (schema.shape === 'struct' || schema.shape === 'map')) {
    for (const [key, item] of Object.entries(value)) {
      const found = treeOfField(item, key, schema, parents);
      if (found) result[`f:${key}`] = found;
    }
    return result;
  }
  const found = elementsOf(schema, value);
  if (!found) return result;
  for (const [element, same] of itemsBy(found, value as unknown[])) {
    // Fields of items with equal keys cannot be told apart.
    const below =
      same.length > 1 ? NOTHING : treeOf(same[0], schemaBelow(schema, element), parents);
    result[element] = node(below, true)!;
  }
  return result;
}

/** Null if there is nothing to own, as in an empty list. */
function treeOfField(
  value: unknown,
  key: string,
  schema: Schema,
  parents: boolean,
): FieldSet | null {
  const below = schemaBelow(schema, `f:${key}`);
  if (isLeaf(value, below)) return NOTHING;
  const isEmptyMap = isObject(value) && Object.keys(value).length === 0;
  const declared = schema.shape === 'struct' && schema.has(key);
  const added = parents && !(ALWAYS_THERE.has(key) && schema.shape === 'struct');
  return node(treeOf(value, below, parents), added || isEmptyMap || !declared);
}

function isLeaf(value: unknown, schema: Schema): boolean {
  if (value === null || schema.shape === 'leaf') return true;
  if (schema.shape === 'struct' || schema.shape === 'map') return !isObject(value);
  return elementsOf(schema, value) === null;
}

/** Null if nothing differs. A null field counts as absent, unless it replaces a value. */
function changeOf(old: unknown, current: unknown, schema: Schema): Change | null {
  if (isLeaf(old, schema) || isLeaf(current, schema)) {
    return isEqual(old, current) ? null : { modified: NOTHING };
  }
  if (schema.shape === 'struct' || schema.shape === 'map') {
    return changeOfFields(old as object, current as object, schema);
  }
  return changeOfItems(old as unknown[], current as unknown[], schema);
}

function changeOfFields(old: object, current: object, schema: Schema): Change | null {
  const before = old as Record<string, unknown>;
  const after = current as Record<string, unknown>;
  const change: Gathered = {};
  for (const key of Object.keys(after)) {
    const present = Object.hasOwn(before, key) ? before[key] : undefined;
    const isAbsent = present === undefined || present === null;
    if (isAbsent && after[key] === null) continue;
    if (isAbsent) gather(change, `f:${key}`, { added: treeOfField(after[key], key, schema, true) });
    else gather(change, `f:${key}`, changeOf(present, after[key], schemaBelow(schema, `f:${key}`)));
  }
  for (const key of Object.keys(before)) {
    if (before[key] === null || Object.hasOwn(after, key)) continue;
    gather(change, `f:${key}`, { removed: treeOfField(before[key], key, schema, true) });
  }
  return finish(change);
}

function changeOfItems(old: unknown[], current: unknown[], schema: Schema): Change | null {
  const before = itemsBy(elementsOf(schema, old) ?? [], old);
  const after = itemsBy(elementsOf(schema, current) ?? [], current);
  const change: Gathered = {};
  for (const [element, items] of after) {
    const present = before.get(element);
    const below = schemaBelow(schema, element);
    if (!present) gather(change, element, { added: treeOfItem(items, below) });
    else if (items.length === 1 && present.length === 1) {
      gather(change, element, changeOf(present[0], items[0], below));
    } else if (!isEqual(present, items)) gather(change, element, { modified: NOTHING });
  }
  for (const [element, items] of before) {
    if (after.has(element)) continue;
    gather(change, element, { removed: treeOfItem(items, schemaBelow(schema, element)) });
  }
  return finish(change);
}

function treeOfItem(items: unknown[], schema: Schema): FieldSet {
  return node(items.length > 1 ? NOTHING : treeOf(items[0], schema, true), true)!;
}

/** Changes of parts, by element. */
type Gathered = { [K in keyof Comparison]?: Record<string, FieldSet> };

const KINDS_OF_CHANGE = ['added', 'modified', 'removed'] as const;

function gather(
  into: Gathered,
  element: string,
  change: { [K in keyof Comparison]?: FieldSet | null } | null,
): void {
  if (!change) return;
  for (const kind of KINDS_OF_CHANGE) {
    const set = change[kind];
    if (!set) continue;
    into[kind] ??= {};
    into[kind][element] = set;
  }
}

function finish(change: Gathered): Change | null {
  return change.added || change.modified || change.removed ? change : null;
}

/** Added and modified fields. */
export function present({ added, modified }: Comparison): FieldSet {
  return union(added, modified);
}
