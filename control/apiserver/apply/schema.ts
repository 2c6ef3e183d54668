// Schemas of kinds for field sets: which parts have fields or items of their own.
import type { KubeKind } from '../../kube/kinds.ts';
import { fieldsOfModel, modelOfKind } from '../../kube/models.ts';
import { isObject } from '../../kube/object.ts';
import { keyElement, valueElement } from './field-set.ts';
import { ATOMIC_MAPS, ATOMIC_MODELS, KEY_DEFAULTS, KEYED_LISTS } from './list-kinds.ts';

export type Schema =
  /** A plain or atomic value. */
  | { shape: 'leaf' }
  /** Declared fields. `fieldOf` returns a leaf for undeclared ones. */
  | { shape: 'struct'; has: (field: string) => boolean; fieldOf: (field: string) => Schema }
  /** Any fields, all of one kind. */
  | { shape: 'map'; item: Schema }
  /** Items identified by keys. */
  | { shape: 'list'; keys: string[]; item: Schema }
  /** Plain values, each once. */
  | { shape: 'set' };

const LEAF: Schema = { shape: 'leaf' };
const schemas = new Map<string, Schema>();

/** The schema of a kind such as `Pod`. */
export function schemaOf(kind: string): Schema {
  return schemaOfType(modelOfKind(kind as KubeKind), '');
}

/** The schema below a path element of a field set. */
export function schemaBelow(schema: Schema, element: string): Schema {
  if (schema.shape === 'struct') return schema.fieldOf(element.slice(2));
  return schema.shape === 'map' || schema.shape === 'list' ? schema.item : LEAF;
}

/**
 * Path elements of the items of a list or set, in order. Null if it is no list, or an item lacks a
 * key.
 */
export function elementsOf(schema: Schema, value: unknown): string[] | null {
  if (!Array.isArray(value)) return null;
  if (schema.shape === 'set') return value.map(valueElement);
  if (schema.shape !== 'list') return null;
  const found = value.map((item) => itemElement(schema.keys, item));
  return found.includes('') ? null : found;
}

/** '' if the item lacks a key. */
function itemElement(names: string[], item: unknown): string {
  if (!isObject(item)) return '';
  const keys: Record<string, unknown> = {};
  for (const name of names) {
    // An empty string counts as absent.
    const value = (item[name] === '' ? undefined : item[name]) ?? KEY_DEFAULTS[name];
    if (value === undefined) return '';
    keys[name] = value;
  }
  return keyElement(keys);
}

/**
 * @param type as the official client names it: `V1Pod`, `Array<V1Container>`, `{ [key: string]:
 *   string; }`.
 * @param place `Model.field` that is of this type; '' for an object.
 */
function schemaOfType(type: string, place: string): Schema {
  const part = /^(?:Array<(.+)>|\{ \[key: string\]: (.+); \})$/.exec(type);
  if (part?.[1]) return schemaOfList(part[1], place);
  if (part?.[2]) {
    return ATOMIC_MAPS.has(place) ? LEAF : { shape: 'map', item: schemaOfType(part[2], '') };
  }
  const known = schemas.get(type);
  if (known) return known;
  const fields = ATOMIC_MODELS.has(type) ? null : fieldsOfModel(type);
  const schema = fields ? struct(type, fields) : LEAF;
  schemas.set(type, schema);
  return schema;
}

function schemaOfList(type: string, place: string): Schema {
  const [model, field] = place.split('.') as [string, string];
  const keys = KEYED_LISTS[model]?.[field];
  if (!keys) return LEAF;
  // Keys identify atomic items too.
  return keys.length === 0
    ? { shape: 'set' }
    : { shape: 'list', keys, item: schemaOfType(type, '') };
}

/** Fields are resolved on first use, because types can be recursive. */
function struct(model: string, types: Map<string, string>): Schema {
  const known = new Map<string, Schema>();
  return {
    shape: 'struct',
    has: (field) => types.has(field),
    fieldOf(field) {
      let schema = known.get(field);
      if (!schema) {
        const type = types.get(field);
        schema = type === undefined ? LEAF : schemaOfType(type, `${model}.${field}`);
        known.set(field, schema);
      }
      return schema;
    },
  };
}
