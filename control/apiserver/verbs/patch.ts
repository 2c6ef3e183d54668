// The kinds of patches, by the media type that names them.

import { isObject } from '../../kube/object.ts';
import { own, setOwn } from '../../kube/own.ts';
import { jsonPatch } from './json-patch.ts';
import { strategicPatch } from './strategic-patch.ts';

/** From an object and a request's body to the object that is wanted. Neither is changed. */
export type Patcher = (target: unknown, patch: unknown) => unknown;

/** Server-side apply is not among them. */
export const PATCHERS: Record<string, Patcher> = {
  'application/json-patch+json': jsonPatch,
  'application/merge-patch+json': mergePatch,
  'application/strategic-merge-patch+json': strategicPatch,
};

/** JSON merge patch, RFC 7386. Neither argument is changed. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else setOwn(merged, key, mergePatch(own(merged, key), value));
  }
  return merged;
}
