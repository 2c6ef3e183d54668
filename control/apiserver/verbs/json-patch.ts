// JSON patch, RFC 6902: all operations succeed, or the patch changes nothing. Reads own fields
// only: the package rfc6902 follows pointers into prototypes, which a patch could then change.

import { isEqual, isObject, own, setOwn } from '../../kube/object.ts';
import { badRequest, DEPTH_MAX, StatusError, tooDeep } from '../status.ts';

/** Upstream's limit: apiserver/pkg/endpoints/handlers/patch.go. */
const OPERATIONS_MAX = 10_000;
/** Limit for all copies of a patch. Copies of copies would grow exponentially. */
const COPIED_CHARS_MAX = 3 * 1024 * 1024;

interface Operation {
  op: string;
  path: string;
  from?: string;
  value?: unknown;
}

interface Box {
  root: unknown;
  /** The length of all copies, as JSON. */
  copiedChars: number;
}

type Container = Record<string, unknown> | unknown[];

/**
 * The object after all operations. The target does not change. Throws StatusError BadRequest for an
 * invalid patch, Invalid (422) for an operation that does not fit the target, such as a `test` that
 * fails.
 */
export function jsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch) || !patch.every(isOperation)) {
    throw badRequest('a JSON patch must be a list of operations with op and path');
  }
  if (patch.length > OPERATIONS_MAX) {
    const message =
      `The allowed maximum operations in a JSON patch is ${OPERATIONS_MAX}, ` +
      `got ${patch.length}`;
    throw new StatusError(413, 'RequestEntityTooLarge', message);
  }
  // The wrapper makes an operation on the whole document like any other.
  const box: Box = { root: structuredClone(target), copiedChars: 0 };
  try {
    for (const operation of patch as Operation[]) apply(box, operation);
  } catch (error) {
    // Repeated moves can nest a value too deep for the stack.
    throw error instanceof RangeError ? tooDeep() : error;
  }
  checkDepth(box.root);
  return box.root;
}

function isOperation(value: unknown): boolean {
  return isObject(value) && typeof value.op === 'string' && typeof value.path === 'string';
}

function apply(box: Box, { op, path, from, value }: Operation): void {
  switch (op) {
    case 'add':
      return insert(box, path, structuredClone(value));
    case 'remove':
      return void take(box, path);
    case 'replace':
      take(box, path);
      return insert(box, path, structuredClone(value));
    case 'copy':
      return insert(box, path, copy(box, read(box, from)));
    case 'move':
      return insert(box, path, take(box, from));
    case 'test':
      if (isEqual(read(box, path), value)) return;
      throw misfit(`testing value ${path} failed`);
  }
  throw badRequest(`unexpected kind of operation in a JSON patch: ${op}`);
}

/** Source of limit and message: github.com/evanphx/json-patch. */
function copy(box: Box, value: unknown): unknown {
  const text = JSON.stringify(value) ?? '';
  box.copiedChars += text.length;
  if (box.copiedChars <= COPIED_CHARS_MAX) return structuredClone(value);
  const limit = `exceeding the limit ${COPIED_CHARS_MAX}`;
  throw misfit(
    'Unable to complete the copy, the accumulated size increase of copy is ' +
      `${box.copiedChars}, ${limit}`,
  );
}

/** The container of a pointer's target, and the last key. */
function locate(box: Box, pointer: string | undefined): [Container, string] {
  if (pointer === undefined) throw badRequest('an operation of the JSON patch needs `from`');
  if (pointer !== '' && !pointer.startsWith('/')) {
    throw badRequest(`a path of a JSON patch must begin with a slash: ${pointer}`);
  }
  const unescaped = pointer.split('/').map((k) => k.replaceAll('~1', '/').replaceAll('~0', '~'));
  const keys = ['root', ...unescaped.slice(1)];
  let at: unknown = box;
  for (const key of keys.slice(0, -1)) at = isContainer(at) ? valueAt(at, key) : undefined;
  if (!isContainer(at)) throw misfit(`${pointer} does not exist`);
  return [at, keys.at(-1)!];
}

function read(box: Box, pointer: string | undefined): unknown {
  const [container, key] = locate(box, pointer);
  return valueAt(container, key);
}

/** Removes a pointer's target and returns it. */
function take(box: Box, pointer: string | undefined): unknown {
  const [container, key] = locate(box, pointer);
  const value = valueAt(container, key);
  if (value === undefined) throw misfit(`${pointer} does not exist`);
  if (Array.isArray(container)) container.splice(Number(key), 1);
  else delete container[key];
  return value;
}

function insert(box: Box, pointer: string, value: unknown): void {
  const [container, key] = locate(box, pointer);
  if (!Array.isArray(container)) {
    setOwn(container, key, value);
    return;
  }
  const index = key === '-' ? container.length : indexOf(key);
  if (index > container.length) throw misfit(`${pointer} is beyond the end of the list`);
  container.splice(index, 0, value);
}

function valueAt(container: Container, key: string): unknown {
  if (Array.isArray(container)) return container[indexOf(key)];
  return own(container, key);
}

function indexOf(key: string): number {
  if (!/^(?:0|[1-9]\d*)$/.test(key)) throw misfit(`${key} is not an index of a list`);
  return Number(key);
}

function isContainer(value: unknown): value is Container {
  return typeof value === 'object' && value !== null;
}

function misfit(why: string): StatusError {
  return new StatusError(
    422,
    'Invalid',
    `the server rejected our request due to an error in our request: ${why}`,
  );
}

/** Throws StatusError BadRequest for a value that is too deep. */
function checkDepth(value: unknown): void {
  let level = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > DEPTH_MAX) throw tooDeep();
    const inner = level.filter((item) => typeof item === 'object' && item !== null);
    level = inner.flatMap((item) => Object.values(item as object));
  }
}
