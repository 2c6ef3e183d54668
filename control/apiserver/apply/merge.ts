// Merges a configuration into an object, and removes fields: structured-merge-diff/v4/typed
// merge.go, remove.go.
import { isObject, own, setOwn } from '../../kube/object.ts';
import { type FieldSet, hasMember, isEmpty } from './field-set.ts';
import { itemsBy } from './fields.ts';
import { elementsOf, type Schema, schemaBelow } from './schema.ts';

/** The object with the fields of the configuration, nulls included. */
export function merge(live: unknown, config: unknown, schema: Schema): unknown {
  if (live === undefined || live === null) return config;
  if (schema.shape === 'struct' || schema.shape === 'map') {
    if (!isObject(live) || !isObject(config)) return config;
    const merged: Record<string, unknown> = { ...live };
    for (const [key, value] of Object.entries(config)) {
      setOwn(merged, key, merge(own(merged, key), value, schemaBelow(schema, `f:${key}`)));
    }
    return merged;
  }
  const before = elementsOf(schema, live);
  const after = elementsOf(schema, config);
  if (!before || !after) return config;
  return mergeItems(before, live as unknown[], after, config as unknown[], schema);
}

/**
 * Configured items come in the order of the configuration. Other live items stay behind their
 * predecessors.
 */
function mergeItems(
  before: string[],
  live: unknown[],
  after: string[],
  config: unknown[],
  schema: Schema,
): unknown[] {
  const applied = new Map(after.map((element, i) => [element, config[i]]));
  const present = itemsBy(before, live);
  const shared = after.filter((element) => present.has(element));
  const merged: unknown[] = [];
  let nextShared = 0;
  let at = 0;
  /** Takes live items up to the next one that the configuration names. */
  const takeOthers = () => {
    for (; at < before.length && !applied.has(before[at]!); at++) merged.push(live[at]);
  };
  for (const element of after) {
    if (element === shared[nextShared]) {
      // Shared items move to their place in the configuration.
      for (takeOthers(); at < before.length && before[at] !== element; takeOthers()) at++;
      at++;
      nextShared++;
    } else takeOthers();
    // The configured item replaces several live items with equal keys.
    const same = present.get(element) ?? [];
    const [item] = same.length === 1 ? same : [];
    merged.push(merge(item, applied.get(element), schemaBelow(schema, element)));
  }
  for (; at < before.length; at++) if (!applied.has(before[at]!)) merged.push(live[at]);
  return merged;
}

/** The value without the members of a set. Undefined if nothing is left. */
export function removeFields(value: unknown, set: FieldSet, schema: Schema): unknown {
  if (isEmpty(set)) return value;
  if (isObject(value) && (schema.shape === 'struct' || schema.shape === 'map')) {
    const left: Record<string, unknown> = {};
    for (const [key, item] of Object.entries(value)) {
      const rest = removeItem(item, `f:${key}`, set, schema);
      if (rest !== undefined) setOwn(left, key, rest);
    }
    return Object.keys(left).length > 0 ? left : undefined;
  }
  const found = elementsOf(schema, value);
  if (!found) return value;
  const left = (value as unknown[])
    .map((item, i) => removeItem(item, found[i]!, set, schema))
    .filter((item) => item !== undefined);
  return left.length > 0 ? left : undefined;
}

function removeItem(item: unknown, element: string, set: FieldSet, schema: Schema): unknown {
  const below = set[element];
  if (below === undefined) return item;
  if (hasMember(set, element)) return undefined;
  return removeFields(item, below, schemaBelow(schema, element));
}

/** The value without null fields. In a configuration null means absent. */
export function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isObject(value)) return value;
  const kept = Object.entries(value).filter(([, item]) => item !== null);
  return Object.fromEntries(kept.map(([key, item]) => [key, withoutNulls(item)]));
}
