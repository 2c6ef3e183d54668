// One request from its path to its answer.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { managerOfAgent } from './apply/managers.ts';
import { APPLY_PATCH, checkPatchOptions, parseApplyBody } from './apply/request.ts';
import { discoveryDocuments } from './discovery.ts';
import { listObjects } from './list.ts';
import { isObject } from './object.ts';
import { openapiJson, openapiProtobuf } from './openapi.ts';
import { PATCHERS, type Patcher } from './patch.ts';
import type { DeleteOptions, Registry, WriteOptions } from './registry.ts';
import { parseRoute, type Route } from './route.ts';
import { type Matcher, parseFieldSelector, parseLabelSelector } from './selectors.ts';
import { badRequest, notAllowed, pathNotFound, StatusError } from './status.ts';
import { type RowObject, toTable, wantsTable } from './table/table.ts';
import { serveWatch } from './watch.ts';

/** Upstream's limit of a request's body. */
const BODY_BYTES_MAX = 3 * 1024 * 1024;
const WATCH_S_DEFAULT = 1800;
const HEALTH = new Set(['/healthz', '/livez', '/readyz']);
/** What JSON comes as; nothing said means JSON, as upstream has it. */
const JSON_TYPES = new Set(['', '*/*', 'application/json']);
const documents = discoveryDocuments();

/** Answers requests that bear the token; everything else is refused. */
export function createHandler(registry: Registry, token: string) {
  const wanted = digest(`Bearer ${token}`);
  return (request: IncomingMessage, response: ServerResponse) => {
    answer(registry, wanted, request, response).catch((error: unknown) => {
      sendError(response, error);
    });
  };
}

async function answer(
  registry: Registry,
  wanted: Buffer,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  // Digests are of one length, and comparing them says nothing about the token.
  if (!timingSafeEqual(digest(request.headers.authorization ?? ''), wanted)) {
    throw new StatusError(401, 'Unauthorized', 'Unauthorized');
  }
  const url = new URL(request.url ?? '/', 'https://api');
  if (HEALTH.has(url.pathname)) return void response.end('ok');
  if (url.pathname === '/openapi/v2') return sendOpenapi(request, response);
  const document = documents.get(url.pathname);
  if (document) return sendJson(response, 200, document);
  const route = parseRoute(url.pathname);
  if (!route) throw pathNotFound();
  if (request.method === 'GET') return read(registry, route, url.searchParams, request, response);
  const body = await readBody(request);
  const [code, object] = write(registry, route, url.searchParams, request, body);
  sendJson(response, code, object);
}

function read(
  registry: Registry,
  route: Route,
  query: URLSearchParams,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const { kind, namespace, name } = route;
  const asTable = wantsTable(request.headers.accept);
  const included = rowObjectOf(query);
  if (name !== '') {
    const object = registry.get(kind, { namespace, name });
    const { resourceVersion } = object.metadata;
    return sendJson(
      response,
      200,
      asTable ? toTable(kind, [object], { resourceVersion }, included) : object,
    );
  }
  const matches = matcherOf(route, query);
  if (isTrue(query.get('watch'))) {
    const timeoutS = Number(query.get('timeoutSeconds') ?? 0) || WATCH_S_DEFAULT;
    return serveWatch(
      registry.store,
      {
        kind,
        namespace,
        matches,
        resourceVersion: query.get('resourceVersion') ?? '',
        bookmarks: isTrue(query.get('allowWatchBookmarks')),
        initialEvents: isTrue(query.get('sendInitialEvents')),
        timeoutS,
        present: asTable ? (o, isFirst) => toTable(kind, [o], {}, included, isFirst) : null,
      },
      response,
    );
  }
  const limit = Number(query.get('limit') ?? 0) || 0;
  const from = query.get('continue') ?? '';
  const all = { kind, namespace, matches, limit, continue: from };
  const { items, metadata } = listObjects(registry.store, all);
  const list = { kind: `${kind.kind}List`, apiVersion: kind.apiVersion, metadata, items };
  sendJson(response, 200, asTable ? toTable(kind, items, metadata, included) : list);
}

function rowObjectOf(query: URLSearchParams): RowObject {
  const asked = query.get('includeObject') || 'Metadata';
  if (asked === 'None' || asked === 'Metadata' || asked === 'Object') return asked;
  throw badRequest(`unrecognized includeObject value: ${JSON.stringify(asked)}`);
}

function write(
  registry: Registry,
  route: Route,
  query: URLSearchParams,
  request: IncomingMessage,
  body: unknown,
): [code: number, object: object] {
  const { kind, namespace, name, subresource } = route;
  const manager = query.get('fieldManager') || managerOfAgent(request.headers['user-agent'] ?? '');
  const options = {
    manager,
    dryRun: query.get('dryRun') === 'All',
    strict: query.get('fieldValidation') === 'Strict',
  } satisfies WriteOptions;
  const place = { namespace, name };
  const status = subresource === 'status';
  if (name === '') {
    if (kind.namespaced && namespace === '') throw notAllowed();
    if (request.method === 'POST') return [201, registry.create(kind, namespace, body, options)];
    if (request.method === 'DELETE') {
      return [200, removeAll(registry, route, matcherOf(route, query), deleteOptions(body, query))];
    }
    throw notAllowed();
  }
  switch (request.method) {
    case 'PUT':
      return [200, registry.update(kind, place, body, status, options)];
    case 'PATCH':
      checkPatchOptions(query, isApply(request));
      if (isApply(request)) {
        const force = isTrue(query.get('force'));
        const applied = registry.apply(kind, place, body, status, { ...options, force });
        return [applied.created ? 201 : 200, applied.object];
      }
      return [200, registry.patch(kind, place, body, status, options, patcherOf(request))];
    case 'DELETE':
      return [200, registry.remove(kind, place, deleteOptions(body, query), options.dryRun)];
  }
  throw notAllowed();
}

function patcherOf(request: IncomingMessage): Patcher {
  const type = mediaTypeOf(request);
  if (Object.hasOwn(PATCHERS, type)) return PATCHERS[type]!;
  throw unsupportedMedia([...Object.keys(PATCHERS), APPLY_PATCH]);
}

function isApply(request: IncomingMessage): boolean {
  return request.method === 'PATCH' && mediaTypeOf(request) === APPLY_PATCH;
}

function mediaTypeOf(request: IncomingMessage): string {
  return request.headers['content-type']?.split(';')[0]?.trim() ?? '';
}

function unsupportedMedia(accepted: string[]): StatusError {
  return new StatusError(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`,
  );
}

function removeAll(
  registry: Registry,
  { kind, namespace }: Route,
  matches: Matcher,
  options: DeleteOptions,
): object {
  const items = registry.store
    .list(kind.plural, namespace || undefined)
    .filter(matches)
    .map(({ metadata }) =>
      registry.remove(
        kind,
        { namespace: metadata.namespace ?? '', name: metadata.name },
        { ...options, preconditions: {} },
      ),
    );
  const metadata = { resourceVersion: String(registry.store.resourceVersion) };
  return { kind: `${kind.kind}List`, apiVersion: kind.apiVersion, metadata, items };
}

function deleteOptions(body: unknown, query: URLSearchParams): DeleteOptions {
  const given = (isObject(body) ? body : {}) as DeleteOptions;
  const grace = query.get('gracePeriodSeconds');
  return grace === null ? given : { ...given, gracePeriodSeconds: Number(grace) };
}

function matcherOf({ kind }: Route, query: URLSearchParams): Matcher {
  const labels = parseLabelSelector(query.get('labelSelector') ?? '');
  const fields = parseFieldSelector(query.get('fieldSelector') ?? '', kind.fields);
  return (object) => labels(object) && fields(object);
}

/** Throws StatusError 415 for what is not JSON: `kubectl create namespace` of 1.32 and later speaks protobuf. */
async function readBody(request: IncomingMessage): Promise<unknown> {
  if (request.method === 'PATCH') {
    if (!isApply(request)) patcherOf(request);
  } else if (!JSON_TYPES.has(mediaTypeOf(request))) throw unsupportedMedia(['application/json']);
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
  if (bytes === 0) return undefined;
  if (isApply(request)) return parseApplyBody(Buffer.concat(chunks).toString());
  try {
    return JSON.parse(Buffer.concat(chunks).toString()) as unknown;
  } catch (error) {
    throw badRequest(`the body of the request is not JSON: ${(error as Error).message}`);
  }
}

/** Under a media type of no meaning: clients do not look at it, and some stumble over the `@` in the official one. */
function sendOpenapi(request: IncomingMessage, response: ServerResponse): void {
  if (!request.headers.accept?.includes('protobuf')) return sendJson(response, 200, openapiJson());
  response.writeHead(200, { 'content-type': 'application/octet-stream' });
  response.end(openapiProtobuf());
}

function sendJson(response: ServerResponse, code: number, body: object): void {
  const text = JSON.stringify(body);
  response.writeHead(code, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-cache, private',
  });
  response.end(text);
}

function sendError(response: ServerResponse, error: unknown): void {
  if (response.headersSent) return void response.destroy();
  if (error instanceof StatusError) return sendJson(response, error.code, error.toStatus());
  const message = `Internal error occurred: ${(error as Error).message}`;
  // The stack is for whoever runs the server, not for its clients.
  console.error((error as Error).stack);
  sendJson(response, 500, new StatusError(500, 'InternalError', message).toStatus());
}

function isTrue(text: string | null): boolean {
  return text === 'true' || text === '1';
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
