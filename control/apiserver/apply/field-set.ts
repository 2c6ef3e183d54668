// Sets of fields, in the form of managedFields: sigs.k8s.io/structured-merge-diff/v4/fieldpath.

/**
 * A tree of path elements: `f:name` (a field), `k:{"port":80}` (an item by its keys), `v:"x"` (a
 * value of a set), `i:0` (an item by its place). `{}` below an element makes it a member of the
 * set; if other elements are below it, `.` does. Immutable. The root is no member: `{}` is the
 * empty set.
 */
export interface FieldSet {
  readonly [element: string]: FieldSet;
}

export const NOTHING: FieldSet = {};
const SELF = '.';

/** Decides from the membership in both sets whether an element is in the result. */
type Keep = (inA: boolean, inB: boolean) => boolean;

export function union(a: FieldSet, b: FieldSet): FieldSet {
  return combine(a, b, true, true, (inA, inB) => inA || inB);
}

export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  return combine(a, b, false, false, (inA, inB) => inA && inB);
}

/** Paths in `a` and not in `b`. Each path counts alone, without the paths below it. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  return combine(a, b, true, false, (inA, inB) => inA && !inB);
}

/** True if two sets hold the same paths. */
export function isSame(a: FieldSet, b: FieldSet): boolean {
  return isEmpty(difference(a, b)) && isEmpty(difference(b, a));
}

export function isEmpty(set: FieldSet): boolean {
  for (const _element in set) return false;
  return true;
}

/** True if the element itself is a member, and not only paths below it. */
export function hasMember(set: FieldSet, element: string): boolean {
  const below = set[element];
  return below !== undefined && isMember(below);
}

/** The tree of an element with the paths below it. Null if it is empty and no member. */
export function node(below: FieldSet, member: boolean): FieldSet | null {
  if (!member) return isEmpty(below) ? null : below;
  return isEmpty(below) ? NOTHING : { [SELF]: NOTHING, ...below };
}

/** The elements below, without the set's own mark. */
export function* elements(set: FieldSet): Generator<[element: string, below: FieldSet]> {
  for (const element in set) if (element !== SELF) yield [element, set[element]!];
}

/** All paths of a set, as in messages: `.spec.ports[port=80,protocol="TCP"].name`. */
export function* paths(set: FieldSet, prefix = ''): Generator<string> {
  for (const [element, below] of elements(set)) {
    const path = prefix + formatElement(element);
    if (isMember(below)) yield path;
    yield* paths(below, path);
  }
}

/** The element of a list item. The keys are in the order of their names. */
export function keyElement(keys: Record<string, unknown>): string {
  return `k:${JSON.stringify(keys)}`;
}

export function valueElement(value: unknown): string {
  return `v:${JSON.stringify(value)}`;
}

/** Parses a set from a client into the normal form. Null if it is no set. */
export function parseFieldSet(given: unknown): FieldSet | null {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return null;
  const set: Record<string, FieldSet> = {};
  for (const [element, below] of Object.entries(given)) {
    const known = element === SELF ? SELF : normalize(element);
    const parsed = parseFieldSet(below);
    if (known === null || parsed === null) return null;
    set[known] = parsed;
  }
  const keys = Object.keys(set);
  return keys.length === 1 && keys[0] === SELF ? NOTHING : set;
}

/** @param onlyA whether paths that only `a` has go into the result. `onlyB` likewise. */
function combine(a: FieldSet, b: FieldSet, onlyA: boolean, onlyB: boolean, keep: Keep): FieldSet {
  const result: Record<string, FieldSet> = {};
  for (const [element, inA] of elements(a)) {
    const inB = b[element];
    if (inB === undefined) {
      if (onlyA) result[element] = inA;
      continue;
    }
    const below = combine(inA, inB, onlyA, onlyB, keep);
    const kept = node(below, keep(isMember(inA), isMember(inB)));
    if (kept) result[element] = kept;
  }
  if (!onlyB) return result;
  for (const [element, inB] of elements(b)) if (a[element] === undefined) result[element] = inB;
  return result;
}

function isMember(below: FieldSet): boolean {
  return below[SELF] !== undefined || isEmpty(below);
}

function formatElement(element: string): string {
  const text = element.slice(2);
  if (element.startsWith('f:')) return `.${text}`;
  if (element.startsWith('i:')) return `[${text}]`;
  if (element.startsWith('v:')) return `[=${text}]`;
  const keys = Object.entries(JSON.parse(text) as object);
  return `[${keys.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(',')}]`;
}

/** The normal form of an element. Null if it is no element. */
function normalize(element: string): string | null {
  const text = element.slice(2);
  if (element.startsWith('f:')) return element;
  if (element.startsWith('i:')) return /^\d+$/.test(text) ? element : null;
  try {
    const value: unknown = JSON.parse(text);
    if (element.startsWith('v:')) return valueElement(value);
    const isKeys = typeof value === 'object' && value !== null && !Array.isArray(value);
    if (!element.startsWith('k:') || !isKeys) return null;
    return keyElement(
      Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))),
    );
  } catch {
    return null;
  }
}
