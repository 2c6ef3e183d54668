// The types of the official client, described: fields, their types, which of them must be there,
// what they mean.
import { existsSync, readFileSync } from 'node:fs';
import * as models from '@kubernetes/client-node';
import type { KubeKind } from './kinds.ts';

export interface ModelField {
  name: string;
  /** `string`, `V1ObjectMeta`, `Array<V1Container>`, `{ [key: string]: string; }`, ... */
  type: string;
  /** `int32`, `date-time`, `byte`, ...; '' for none. */
  format: string;
  isRequired: boolean;
  /** '' if the package says nothing. */
  description: string;
}

export interface Model {
  description: string;
  fields: ModelField[];
}

type Attributes = { baseName: string; type: string; format: string }[];

const COMMENT = /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*(?:export declare class|'([^']+)'(\??):)/g;

/** The client's name for the type of a kind. */
export function modelOfKind(kind: KubeKind): string {
  return kind === 'Event' ? 'CoreV1Event' : `V1${kind}`;
}

/** A type of the client by its name; null for texts, numbers and the like. */
export function describeModel(name: string): Model | null {
  const known = (models as unknown as Record<string, { getAttributeTypeMap?: () => Attributes }>)[
    name
  ];
  const attributes = known?.getAttributeTypeMap?.();
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

/** By field, '' for the type itself: the package keeps them in its declarations alone. */
function readComments(name: string): Map<string, { text: string; isRequired: boolean }> {
  const index = import.meta.resolve('@kubernetes/client-node');
  const file = new URL(`./gen/models/${name}.d.ts`, index);
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
