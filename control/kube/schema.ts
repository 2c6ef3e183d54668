// Which fields the objects of a kind have, as the official client knows them.
import * as models from '@kubernetes/client-node';

interface Attribute {
  baseName: string;
  /** `string`, `V1ObjectMeta`, `Array<V1Container>`, `{ [key: string]: string; }`, ... */
  type: string;
}

type Model = { getAttributeTypeMap?: () => Attribute[] };

const fieldsOf = new Map<string, Map<string, string> | null>();

/** Field -> type of a model; null if the type is none. */
export function fieldsOfModel(name: string): Map<string, string> | null {
  let fields = fieldsOf.get(name);
  if (fields === undefined) {
    const model = (models as unknown as Record<string, Model | undefined>)[name];
    const attributes = model?.getAttributeTypeMap?.();
    fields = attributes ? new Map(attributes.map((a) => [a.baseName, a.type])) : null;
    fieldsOf.set(name, fields);
  }
  return fields;
}

/** Drops the fields of an object that its kind does not have. Returns their paths, such as `spec.ports[0].prot`. */
export function dropUnknownFields(kind: string, object: unknown): string[] {
  const found: string[] = [];
  const name = kind === 'Event' ? 'CoreV1Event' : `V1${kind}`;
  walk(name, object, '', found);
  return found;
}

function walk(type: string, value: unknown, path: string, found: string[]): void {
  const item = /^(?:Array<(.+)>|\{ \[key: string\]: (.+); \})$/.exec(type);
  if (item?.[1] && Array.isArray(value)) {
    for (const [i, entry] of value.entries()) walk(item[1], entry, `${path}[${i}]`, found);
    return;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return;
  if (item?.[2]) {
    for (const [key, entry] of Object.entries(value)) walk(item[2], entry, `${path}.${key}`, found);
    return;
  }
  const fields = fieldsOfModel(type);
  if (!fields) return;
  for (const [key, entry] of Object.entries(value)) {
    const at = path === '' ? key : `${path}.${key}`;
    const fieldType = fields.get(key);
    if (fieldType === undefined) {
      found.push(at);
      delete (value as Record<string, unknown>)[key];
    } else walk(fieldType, entry, at, found);
  }
}
