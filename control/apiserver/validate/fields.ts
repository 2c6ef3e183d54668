// Decodes the fields of a request: values, unknown fields and duplicate fields
// (apiserver/pkg/endpoints/handlers, fieldValidation).
import { DecodeError, decodeObject } from '../../kube/decode.ts';
import type { KubeKind } from '../../kube/kinds.ts';
import { badRequest, invalid, type StatusError, wrong } from '../status.ts';

type Kind = { kind: string; version: string };

/** How strictly the fields of a body are read. */
export interface FieldOptions {
  /** Refuse unknown and duplicate fields. */
  strict: boolean;
  /** Fields that the body names twice; absent if the object did not come from a client. */
  duplicates?: string[];
  /** The patch that led to the object, if there was one. */
  patch?: unknown;
  /** Receives what `strict` would refuse. */
  warn?: (text: string) => void;
}

/** Upstream's refusal of a patch does not name the object. */
const NOBODY = { kind: '', plural: '', group: '' };

/**
 * Decodes an object in place. Unknown fields are refused, reported as warnings or ignored, by
 * `options`. Throws StatusError BadRequest, or Invalid for a patch.
 */
export function decodeFields(kind: Kind, object: object, options: FieldOptions): void {
  const { strict, warn, duplicates } = options;
  const unknown = decodeBody(kind, object, options);
  // Objects of the server's own controllers need no such check.
  if (!strict && !duplicates) return;
  const quoted = unknown.map((field) => `unknown field ${JSON.stringify(field)}`);
  const problems = [...quoted, ...(duplicates ?? [])];
  if (problems.length === 0) return;
  if (strict) throw refusal(kind, `strict decoding error: ${problems.join(', ')}`, options);
  for (const problem of problems) warn?.(problem);
}

/** Paths of the fields that were unknown. */
function decodeBody(kind: Kind, object: object, options: FieldOptions): string[] {
  try {
    return decodeObject(kind.kind as KubeKind, object);
  } catch (error) {
    if (error instanceof DecodeError) throw refusal(kind, error.message, options);
    throw error;
  }
}

function refusal({ kind, version }: Kind, why: string, { patch }: FieldOptions): StatusError {
  if (patch !== undefined) return invalid(NOBODY, '', [wrong('patch', JSON.stringify(patch), why)]);
  const where = `${kind} in version ${JSON.stringify(version)} cannot be handled as a ${kind}`;
  return badRequest(`${where}: ${why}`);
}
