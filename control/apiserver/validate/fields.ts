// Fields that a kind does not have, and fields that were said twice: apiserver/pkg/endpoints/handlers (fieldValidation).
import { dropUnknownFields } from '../../kube/schema.ts';
import type { ServedKind } from '../kinds.ts';
import type { KubeObject } from '../object.ts';
import type { WriteOptions } from '../registry.ts';
import { badRequest, invalid, wrong } from '../status.ts';

/** Upstream blames a patch without naming the object. */
const NOBODY = { kind: '', plural: '', group: '' };

/** Drops such fields, and refuses, warns of or is silent about them, as asked. Throws StatusError BadRequest, or Invalid for a patch. */
export function checkFields(
  { kind, version }: ServedKind,
  object: KubeObject,
  { strict, warn, patch, duplicates }: WriteOptions,
): void {
  // Controllers of the server itself ask for nothing of this: they are taken at their word.
  if (!strict && !duplicates) return;
  const unknown = dropUnknownFields(kind, object).map((f) => `unknown field ${JSON.stringify(f)}`);
  const problems = [...unknown, ...(duplicates ?? [])];
  if (problems.length === 0) return;
  if (strict) {
    const error = `strict decoding error: ${problems.join(', ')}`;
    if (patch !== undefined)
      throw invalid(NOBODY, '', [wrong('patch', JSON.stringify(patch), error)]);
    const where = `${kind} in version ${JSON.stringify(version)} cannot be handled as a ${kind}`;
    throw badRequest(`${where}: ${error}`);
  }
  for (const problem of problems) warn?.(problem);
}
