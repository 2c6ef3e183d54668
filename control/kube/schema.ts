// Which fields the objects of a kind have, as the official client knows them.
import * as models from '@kubernetes/client-node';

export interface Attribute {
  baseName: string;
  /** `string`, `V1ObjectMeta`, `Array<V1Container>`, `{ [key: string]: string; }`, ... */
  type: string;
  /** `int32`, `date-time`, `byte`, ...; '' for none. */
  format: string;
}

type Model = { getAttributeTypeMap?: () => Attribute[] };

const fieldsOf = new Map<string, Map<string, string> | null>();

/** The fields of a model; null if the type is none. */
export function attributesOfModel(name: string): Attribute[] | null {
  const model = (models as unknown as Record<string, Model | undefined>)[name];
  return model?.getAttributeTypeMap?.() ?? null;
}

/** Field -> type of a model; null if the type is none. */
export function fieldsOfModel(name: string): Map<string, string> | null {
  let fields = fieldsOf.get(name);
  if (fields === undefined) {
    const attributes = attributesOfModel(name);
    fields = attributes ? new Map(attributes.map((a) => [a.baseName, a.type])) : null;
    fieldsOf.set(name, fields);
  }
  return fields;
}
