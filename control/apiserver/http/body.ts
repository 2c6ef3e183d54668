// Reads the body of a request in JSON, YAML or protobuf.
import type { IncomingMessage } from 'node:http';
import { isMap, isScalar, LineCounter, parseDocument, visit } from 'yaml';
import { badRequest, StatusError } from '../status.ts';
import { duplicateFields } from './duplicates.ts';
import { decodeMessage, hasMessage, openEnvelope } from './protobuf.ts';

/** Upstream's limit of a request's body. */
const BODY_BYTES_MAX = 3 * 1024 * 1024;

export interface Body {
  /** Undefined without a body. */
  value: unknown;
  /** Duplicate fields, as upstream words them: `duplicate field "spec.x"`. */
  duplicates: string[];
}

type Decoder = (bytes: Buffer) => Body;

const DECODERS: Record<string, Decoder> = {
  'application/json': decodeJson,
  'application/yaml': decodeYaml,
  'application/vnd.kubernetes.protobuf': decodeProtobuf,
};
/** Media types that mean JSON, as for upstream. */
const UNSAID = new Set(['', '*/*']);

/** Media type of a request's body, without its parameters. */
export function mediaTypeOf(request: IncomingMessage): string {
  return request.headers['content-type']?.split(';')[0]?.trim().toLowerCase() ?? '';
}

/** The bytes of a body. Throws StatusError 413. */
async function readBytes(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) {
      const message = `limit is ${BODY_BYTES_MAX}`;
      throw new StatusError(413, 'RequestEntityTooLarge', `Request entity too large: ${message}`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** An object or options in JSON, YAML or protobuf. Throws StatusError 400, 413 and 415. */
export async function readObject(request: IncomingMessage): Promise<Body> {
  const type = mediaTypeOf(request);
  const decoder = UNSAID.has(type) ? decodeJson : Object.hasOwn(DECODERS, type) && DECODERS[type];
  if (!decoder) throw unsupportedMedia(Object.keys(DECODERS));
  const bytes = await readBytes(request);
  return bytes.length === 0 ? { value: undefined, duplicates: [] } : decoder(bytes);
}

/**
 * The body of a PATCH. It is YAML if the media type ends in `+yaml`, else JSON. The caller checks
 * the type.
 */
export async function readPatch(request: IncomingMessage): Promise<Body> {
  const bytes = await readBytes(request);
  if (bytes.length === 0) return { value: undefined, duplicates: [] };
  return mediaTypeOf(request).endsWith('+yaml') ? decodeYaml(bytes) : decodeJson(bytes);
}

export function unsupportedMedia(accepted: string[]): StatusError {
  return new StatusError(
    415,
    'UnsupportedMediaType',
    'the body of the request was in an unknown format - accepted media types include: ' +
      `${accepted.join(', ')}`,
  );
}

function decodeJson(bytes: Buffer): Body {
  const text = bytes.toString();
  const value = parseJson(text);
  const duplicates = duplicateFields(text);
  return { value, duplicates: duplicates.map((f) => `duplicate field ${JSON.stringify(f)}`) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw badRequest(`the body of the request is not JSON: ${(error as Error).message}`);
  }
}

/** One document of YAML 1.1, as upstream reads it. */
function decodeYaml(bytes: Buffer): Body {
  const lines = new LineCounter();
  const document = parseDocument(bytes.toString(), {
    version: '1.1',
    uniqueKeys: false,
    lineCounter: lines,
    // Go's YAML reader takes `22:22` and `2026-01-01` as strings, not as a number and a time.
    customTags: (tags) =>
      tags.filter(
        (tag) =>
          typeof tag === 'string' || (tag.format !== 'TIME' && !tag.tag.endsWith(':timestamp')),
      ),
  });
  const error = document.errors[0];
  if (error) throw badRequest(`the body of the request is not YAML: ${error.message}`);
  const duplicates: string[] = [];
  visit(document, {
    Map(_, map) {
      const keys = new Set<unknown>();
      for (const { key } of isMap(map) ? map.items : []) {
        if (!isScalar(key)) continue;
        if (keys.has(key.value)) {
          const { line } = lines.linePos(key.range?.[0] ?? 0);
          duplicates.push(`line ${line}: key ${JSON.stringify(key.value)} already set in map`);
        }
        keys.add(key.value);
      }
    },
  });
  try {
    // YAML aliases share one value. JSON text has no references, so each place gets a copy.
    return { value: JSON.parse(JSON.stringify(document.toJS({ maxAliasCount: 100 }))), duplicates };
  } catch (cause) {
    throw badRequest(`the body of the request is not YAML: ${(cause as Error).message}`);
  }
}

function decodeProtobuf(bytes: Buffer): Body {
  const { apiVersion, kind, raw } = openEnvelope(bytes);
  if (!hasMessage(kind)) {
    throw new StatusError(
      415,
      'UnsupportedMediaType',
      `this server does not read a ${kind} in protobuf: send it as application/json`,
    );
  }
  return { value: { apiVersion, kind, ...decodeMessage(kind, raw) }, duplicates: [] };
}
