// Bodies in Kubernetes' protobuf: four letters, an envelope that names the kind, then a message of
// that kind.
import { Reader } from 'protobufjs';
import { isZero } from '../../kube/decode.ts';
import { setOwn, timestamp } from '../../kube/object.ts';
import { badRequest, StatusError } from '../status.ts';
import { type Field, MESSAGES } from './messages.ts';

const MAGIC = Buffer.from('k8s\0');
const WIRE_VARINT = 0;
const WIRE_BYTES = 2;

type Json = Record<string, unknown>;

/** True if the table has the fields of a kind. */
export function hasMessage(kind: string): boolean {
  return MESSAGES.has(kind);
}

/** Opens the envelope: its kind, and the undecoded object. Throws StatusError BadRequest. */
export function openEnvelope(body: Buffer): { apiVersion: string; kind: string; raw: Buffer } {
  if (!body.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw badRequest(
      'provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]',
    );
  }
  const { typeMeta, raw, contentEncoding } = decode('Unknown', body.subarray(MAGIC.length), '');
  if (contentEncoding) {
    throw badRequest(
      `the body of the request is encoded as ${JSON.stringify(contentEncoding)}: send it ` +
        'without contentEncoding',
    );
  }
  const { apiVersion = '', kind = '' } = (typeMeta ?? {}) as { apiVersion?: string; kind?: string };
  return { apiVersion, kind, raw: Buffer.from((raw as string) ?? '', 'base64') };
}

/**
 * A message as the JSON that Go would make of it, without empty fields, except pointers. Throws
 * StatusError BadRequest for an invalid message, and for a field that the table lacks, so that no
 * field gets lost.
 */
export function decodeMessage(name: string, bytes: Buffer): Json {
  return decode(name, bytes, name);
}

function decode(message: string, bytes: Uint8Array, path: string): Json {
  try {
    return read(message, Reader.create(bytes), path);
  } catch (error) {
    if (error instanceof StatusError) throw error;
    // Errors of the reader mean invalid bytes.
    const why = error instanceof RangeError ? 'it ends too early' : (error as Error).message;
    throw badRequest(`the body of the request is not a ${message} in protobuf: ${why}`);
  }
}

function read(message: string, reader: Reader, path: string): Json {
  const object: Json = {};
  const fields = MESSAGES.get(message)!;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    const field = fields.get(tag >>> 3);
    if (!field) {
      throw badRequest(
        `${path || message} has the unknown protobuf field ${tag >>> 3} (${message}): send ` +
          'the object as JSON, for example with kubectl create --dry-run=client -o yaml | ' +
          'kubectl create -f -',
      );
    }
    put(object, field, tag & 7, reader, field.name === '' ? path : `${path}.${field.name}`);
  }
  return object;
}

function put(object: Json, field: Field, wire: number, reader: Reader, path: string): void {
  const { name, shape } = field;
  if (shape === 'map') {
    const [key, value] = entry(field, wire, reader, path);
    object[name] ??= {};
    return setOwn(object[name] as Json, key, value);
  }
  const value = readValue(field, wire, reader, path);
  if (name === '') Object.assign(object, value);
  else if (shape === 'list') {
    object[name] ??= [];
    (object[name] as unknown[]).push(value);
  } else if (value === undefined || (isZero(value) && !field.isPointer)) delete object[name];
  else object[name] = value;
}

/** A map entry is a message: field 1 is the key, field 2 the value. */
function entry(
  field: Field,
  wire: number,
  reader: Reader,
  path: string,
): [key: string, value: unknown] {
  const inner = Reader.create(takeBytes(wire, reader, path));
  let key = '';
  let value: unknown = field.type === 'string' || field.type === 'bytes' ? '' : {};
  while (inner.pos < inner.len) {
    const tag = inner.uint32();
    if (tag >>> 3 === 1) key = Buffer.from(takeBytes(tag & 7, inner, path)).toString();
    else value = readValue(field, tag & 7, inner, `${path}.${key}`);
  }
  return [key, value];
}

function readValue({ type }: Field, wire: number, reader: Reader, path: string): unknown {
  if (type === 'int' || type === 'bool') {
    if (wire !== WIRE_VARINT) throw malformed(path);
    return type === 'int' ? Number(reader.int64()) : reader.bool();
  }
  const bytes = takeBytes(wire, reader, path);
  if (type === 'string') return Buffer.from(bytes).toString();
  if (type === 'bytes') return Buffer.from(bytes).toString('base64');
  const message = read(type, Reader.create(bytes), path);
  return Object.hasOwn(PLAIN, type) ? PLAIN[type]!(message) : message;
}

function takeBytes(wire: number, reader: Reader, path: string): Uint8Array {
  if (wire !== WIRE_BYTES) throw malformed(path);
  return reader.bytes();
}

function malformed(path: string): Error {
  return badRequest(`${path} is not of the type that its protobuf field has`);
}

/** Messages that are plain values in JSON. */
const PLAIN: Record<string, (message: Json) => unknown> = {
  // An unset time is an empty message.
  Time: ({ seconds }) => (seconds === undefined ? undefined : timestamp(Number(seconds) * 1000)),
  IntOrString: ({ type, intVal = 0, strVal = '' }) => (type === 1 ? strVal : intVal),
  Quantity: ({ string = '' }) => string,
};
