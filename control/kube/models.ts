// The types of the official client: fields, their types, required fields, descriptions.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { KubeKind } from './kinds.ts';

export interface Attribute {
  baseName: string;
  /** `string`, `V1ObjectMeta`, `Array<V1Container>`, `{ [key: string]: string; }`, ... */
  type: string;
  /** `int32`, `date-time`, `byte`, ...; '' for none. */
  format: string;
}

export interface ModelField {
  name: string;
  type: Attribute['type'];
  format: Attribute['format'];
  isRequired: boolean;
  /** '' if the package has none. */
  description: string;
}

export interface Model {
  description: string;
  fields: ModelField[];
}

/** One file a model. Loading the package loads all of them, which takes 0.6 s of CPU time. */
const MODELS = new URL('gen/models/', import.meta.resolve('@kubernetes/client-node'));
const require = createRequire(import.meta.url);
const COMMENT = /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*(?:export declare class|'([^']+)'(\??):)/g;

/** The client's name for the type of a kind. */
export function modelOfKind(kind: KubeKind): string {
  return kind === 'Event' ? 'CoreV1Event' : `V1${kind}`;
}

/** A type of the client by its name. Null for plain types. */
export function describeModel(name: string): Model | null {
  const attributes = attributesOfModel(name);
  if (!attributes) return null;
  const comments = readComments(name);
  return {
    description: comments.get('')?.text ?? '',
    fields: attributes.map(({ baseName, type, format }) => ({
      name: baseName,
      type,
      format,
      isRequired: comments.get(baseName)?.isRequired ?? false,
      description: comments.get(baseName)?.text ?? '',
    })),
  };
}

/** Comments by field, '' for the type itself. Only the package's declarations have them. */
function readComments(name: string): Map<string, { text: string; isRequired: boolean }> {
  const file = new URL(`${name}.d.ts`, MODELS);
  const comments = new Map<string, { text: string; isRequired: boolean }>();
  if (!existsSync(file)) return comments;
  for (const [, text, field = '', optional] of readFileSync(file, 'utf8').matchAll(COMMENT)) {
    const plain = text!
      .replace(/^\s*\* ?/gm, '')
      .replace(/\\(['"`])/g, '$1')
      .trim();
    comments.set(field, { text: plain, isRequired: optional === '' });
  }
  return comments;
}

const fieldsOf = new Map<string, Map<string, string> | null>();

/** The fields of a model. Null for other types. */
export function attributesOfModel(name: string): Attribute[] | null {
  const file = new URL(`${encodeURIComponent(name)}.js`, MODELS);
  if (!existsSync(file)) return null;
  const types: Record<string, { getAttributeTypeMap?(): Attribute[] }> = require(
    fileURLToPath(file),
  );
  return types[name]?.getAttributeTypeMap?.() ?? null;
}

/** Field -> type of a model. Null for other types. */
export function fieldsOfModel(name: string): Map<string, string> | null {
  let fields = fieldsOf.get(name);
  if (fields === undefined) {
    const attributes = attributesOfModel(name);
    fields = attributes ? new Map(attributes.map((a) => [a.baseName, a.type])) : null;
    fieldsOf.set(name, fields);
  }
  return fields;
}
