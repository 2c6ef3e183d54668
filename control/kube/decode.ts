// Decodes objects as Go does (encoding/json over the types of k8s.io/api), by the models of the
// official client. Every object passes here once, on entry: API server, journal, manifest files,
// informers.
import type { KubeKind } from './kinds.ts';
import { attributesOfModel, modelOfKind } from './models.ts';
import { isObject } from './object.ts';
import { isPlainField, isQuantityField } from './plain-fields.ts';

/** The type of a value: how to read it, and what Go makes of a null. */
interface Type {
  /** Go's name, for messages. */
  goName: string;
  read(value: unknown, at: Place): unknown;
  zero(at: Place): unknown;
}

interface Field {
  type: Type;
  /** The zero value means that the field is absent. */
  isPlain: boolean;
}

/** The place of a reader: keys and indices from the root, and the Go field for messages. */
interface Place {
  path: (string | number)[];
  fields: string[];
  model: string;
  unknown: string[];
}

/** A value that its field cannot have, in the words of Go's decoder. */
export class DecodeError extends Error {
  /** Such as `spec.ports[0].port`. */
  readonly field: string;

  constructor(message: string, { path }: Place) {
    super(message);
    this.field = pathOf(path);
  }
}

const INT32_MAX = 2 ** 31 - 1;
const INT64_END = 2 ** 63;
/** The largest double below 2^63: JavaScript reads the largest int64 as 2^63. */
const INT64_MAX = 2 ** 63 - 1024;
const GENERIC = /^(?:Array<(.+)>|\{ \[key: string\]: (.+); \})$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;
const QUANTITY = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?$/;
const QUANTITY_HINT =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * Reads a value as an object of a kind, in place. A null and the zero of a plain field count as
 * absent. A null in a list or a map is the zero of its items. Drops unknown fields and returns
 * their paths, such as `spec.ports[0].prot`. Throws DecodeError for values of wrong types.
 */
export function decodeObject(kind: KubeKind, value: unknown): string[] {
  const at: Place = { path: [], fields: [], model: '', unknown: [] };
  typeOf(modelOfKind(kind), '', false).read(value, at);
  return at.unknown;
}

/** The objects that can be decoded, decoded in place. */
export function readable<T>(kind: KubeKind, objects: T[]): T[] {
  return objects.filter((object) => {
    try {
      decodeObject(kind, object);
      return true;
    } catch (error) {
      if (error instanceof DecodeError) return false;
      throw error;
    }
  });
}

function mismatch(value: unknown, goName: string, at: Place, name = nameOf(value)): DecodeError {
  const field = at.fields.length > 0 ? `struct field ${at.model}.${at.fields.join('.')}` : 'value';
  return new DecodeError(`json: cannot unmarshal ${name} into Go ${field} of type ${goName}`, at);
}

/** Go's name for the type of a JSON value. */
function nameOf(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}

const types = new Map<string, Type>();

function typeOf(name: string, format: string, isQuantity: boolean): Type {
  const key = `${name} ${format} ${isQuantity}`;
  const known = types.get(key);
  if (known) return known;
  const made = makeType(name, format, isQuantity);
  types.set(key, made);
  return made;
}

function makeType(name: string, format: string, isQuantity: boolean): Type {
  const generic = GENERIC.exec(name);
  if (generic?.[1]) return listOf(typeOf(generic[1], format, isQuantity));
  if (generic?.[2]) return mapOf(typeOf(generic[2], format, isQuantity));
  if (name === 'IntOrString') return INT_OR_STRING;
  if (name === 'Date' || name === 'V1MicroTime') return TIME_TYPE;
  if (name === 'string') return isQuantity ? QUANTITY_TYPE : format === 'byte' ? BYTES : STRING;
  if (name === 'boolean') return BOOL;
  if (name === 'number') return format === 'int64' ? INT64 : format === 'double' ? FLOAT64 : INT32;
  return structOf(name) ?? ANY;
}

const ANY: Type = { goName: 'interface {}', read: (value) => value, zero: () => ({}) };

function scalar(goName: string, name: 'string' | 'boolean', zero: unknown): Type {
  return {
    goName,
    zero: () => zero,
    read(value, at) {
      if (typeof value !== name) throw mismatch(value, goName, at);
      return value;
    },
  };
}

const STRING = scalar('string', 'string', '');
const BOOL = scalar('bool', 'boolean', false);
const INT32 = number('int32', (n) => Number.isInteger(n) && n >= -INT32_MAX - 1 && n <= INT32_MAX);
const INT64 = number('int64', (n) => Number.isInteger(n) && n >= -INT64_END && n <= INT64_END);
const FLOAT64 = number('float64', Number.isFinite);

function number(goName: string, fits: (value: number) => boolean): Type {
  return {
    goName,
    zero: () => 0,
    read(value, at) {
      if (typeof value !== 'number') throw mismatch(value, goName, at);
      // The sum turns -0 into 0.
      if (fits(value)) return Math.min(value, INT64_MAX) + 0;
      // Go's message has the number itself.
      throw mismatch(value, goName, at, `number ${value}`);
    },
  };
}

const INT_OR_STRING: Type = {
  goName: 'intstr.IntOrString',
  zero: () => 0,
  read: (value, at) => (typeof value === 'string' ? value : INT32.read(value, at)),
};

const TIME_TYPE: Type = {
  goName: 'string',
  zero: () => undefined,
  read(value, at) {
    if (typeof value !== 'string') throw mismatch(value, 'string', at);
    if (TIME.test(value) && !Number.isNaN(Date.parse(value))) return value;
    const layout = '"2006-01-02T15:04:05Z07:00"';
    const text = JSON.stringify(value);
    throw new DecodeError(`parsing time ${text} as ${layout}: cannot parse ${text} as "2006"`, at);
  },
};

const QUANTITY_TYPE: Type = {
  goName: 'resource.Quantity',
  zero: () => '0',
  read(value, at) {
    const text = typeof value === 'number' ? String(value) : value;
    if (typeof text === 'string' && QUANTITY.test(text)) return text;
    throw new DecodeError(QUANTITY_HINT, at);
  },
};

const BYTES: Type = {
  goName: '[]uint8',
  zero: () => '',
  read(value, at) {
    if (typeof value !== 'string') throw mismatch(value, '[]uint8', at);
    // Go's decoder skips line ends.
    const text = value.replace(/[\r\n]/g, '');
    if (BASE64.test(text)) return value;
    const odd = text.search(/[^A-Za-z0-9+/]/);
    const end = odd < 0 ? text.length - (text.length % 4) : odd;
    throw new DecodeError(`illegal base64 data at input byte ${end}`, at);
  },
};

function listOf(item: Type): Type {
  const goName = `[]${item.goName}`;
  return {
    goName,
    zero: () => [],
    read(value, at) {
      if (!Array.isArray(value)) throw mismatch(value, goName, at);
      for (let i = 0; i < value.length; i++) {
        at.path.push(i);
        const given: unknown = value[i];
        const read = readItem(item, given, at);
        if (!Object.is(read, given)) value[i] = read;
        at.path.pop();
      }
      return value;
    },
  };
}

function mapOf(item: Type): Type {
  const goName = `map[string]${item.goName}`;
  return {
    goName,
    zero: () => ({}),
    read(value, at) {
      if (!isObject(value)) throw mismatch(value, goName, at);
      for (const key of Object.keys(value)) {
        at.path.push(key);
        const given = value[key];
        const read = readItem(item, given, at);
        // The key is an own property, so `__proto__` calls no setter here.
        if (!Object.is(read, given)) value[key] = read;
        at.path.pop();
      }
      return value;
    },
  };
}

/**
 * Null if the client has no such model. Fields are resolved on first use, because types are
 * recursive.
 */
function structOf(model: string): Type | null {
  const attributes = attributesOfModel(model);
  if (!attributes) return null;
  const goStruct = /V\d+(?:(?:alpha|beta)\d+)?(.+)$/.exec(model)?.[1] ?? model;
  const goName = `v1.${goStruct}`;
  const byName = new Map(attributes.map((attribute) => [attribute.baseName, attribute]));
  const fields = new Map<string, Field>();
  const fieldOf = (name: string): Field | null => {
    const known = fields.get(name);
    const attribute = known ? undefined : byName.get(name);
    if (known || !attribute) return known ?? null;
    const type = typeOf(attribute.type, attribute.format, isQuantityField(model, name));
    const field = { type, isPlain: isPlainField(model, name) };
    fields.set(name, field);
    return field;
  };
  return {
    goName,
    zero: () => ({}),
    read(value, at) {
      if (!isObject(value)) throw mismatch(value, goName, at);
      const { model: outer } = at;
      for (const key of Object.keys(value)) {
        const field = fieldOf(key);
        const given = value[key];
        if (!field) at.unknown.push(pathOf([...at.path, key]));
        if (!field || given === null || given === undefined) {
          delete value[key];
          continue;
        }
        at.model = goStruct;
        at.path.push(key);
        at.fields.push(key);
        const read = field.type.read(given, at);
        if (field.isPlain && isZero(read)) delete value[key];
        else if (!Object.is(read, given)) value[key] = read;
        at.path.pop();
        at.fields.pop();
      }
      at.model = outer;
      return value;
    },
  };
}

function readItem(item: Type, given: unknown, at: Place): unknown {
  return given === null || given === undefined ? item.zero(at) : item.read(given, at);
}

/** True for what Go's `omitempty` leaves out of plain values. */
export function isZero(value: unknown): boolean {
  return value === '' || value === 0 || value === false;
}

/** Such as `spec.ports[0].name`. */
export function pathOf(path: (string | number)[]): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`;
    return text === '' ? key : `${text}.${key}`;
  }, '');
}
