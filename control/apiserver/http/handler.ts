// Answers requests.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { isObject } from '../../kube/object.ts';
import { managerOfAgent } from '../apply/managers.ts';
import { APPLY_PATCH } from '../apply/request.ts';
import { aggregatedDiscovery, discoveryDocuments } from '../present/discovery.ts';
import { openapiJson, openapiProtobuf } from '../present/openapi.ts';
import { openapiV3 } from '../present/openapi-v3.ts';
import { type RowObject, toTable, wantsTable } from '../present/table.ts';
import { badRequest, notAllowed, pathNotFound, StatusError } from '../status.ts';
import { removeAll, removeOne } from '../verbs/deletes.ts';
import { evict } from '../verbs/eviction.ts';
import { listObjects } from '../verbs/list.ts';
import { PATCHERS, type Patcher } from '../verbs/patch.ts';
import type { Registry } from '../verbs/registry.ts';
import { scaleOf, writeScale } from '../verbs/scale.ts';
import { type Matcher, parseFieldSelector, parseLabelSelector } from '../verbs/selectors.ts';
import { serveWatch } from '../verbs/watch.ts';
import { type Authenticate, authenticator, authorize, type Reader } from './account.ts';
import { type Body, mediaTypeOf, readObject, readPatch, unsupportedMedia } from './body.ts';
import { endUpgrade, passRequest, passUpgrade, refuseStream } from './pod-proxy.ts';
import { isPodStream, streamPath } from './pod-target.ts';
import {
  checkPatchOptions,
  checkWatchOptions,
  deleteOptions,
  listOptions,
  watchTimeoutS,
  writeOptions,
} from './query.ts';
import { parseRoute, type Route } from './route.ts';

const HEALTH = new Set(['/healthz', '/livez', '/readyz']);
const documents = discoveryDocuments();

/** What the handler needs to answer. */
export interface Backend {
  registry: Registry;
  /** The bearer token of clients. */
  token: string;
  /** Accounts that may only read some kinds. */
  readers?: readonly Reader[];
  /** Socket of the pod runner, for logs, commands and ports of pods. Null without a runner. */
  kubelet: string | null;
}

/** Answers requests with the token and refuses all others. */
export function createHandler(backend: Backend) {
  const authenticate = authenticator(backend.token, backend.readers);
  return (request: IncomingMessage, response: ServerResponse) => {
    answer(backend, authenticate, request, response).catch((error: unknown) => {
      sendError(response, error);
    });
  };
}

/** Answers upgrade requests: streams of pods. */
export function createUpgradeHandler({ registry, token, kubelet }: Backend) {
  const authenticate = authenticator(token);
  return (request: IncomingMessage, client: Duplex, head: Buffer) => {
    try {
      authenticate(request);
      const url = urlOf(request);
      if (!isPodStream(url.pathname)) throw pathNotFound();
      passUpgrade(requireKubelet(kubelet), streamPath(registry, url), request, client, head);
    } catch (error) {
      endUpgrade(client, statusOf(error));
    }
  };
}

/** A write request with its body, and the response for warnings. */
interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  body: Body;
}

function urlOf(request: IncomingMessage): URL {
  const url = URL.parse(request.url ?? '/', 'https://api');
  if (!url) throw badRequest(`the path of the request is not a valid URL path: ${request.url}`);
  return url;
}

function requireKubelet(kubelet: string | null): string {
  if (kubelet !== null) return kubelet;
  const message = 'this server has no pod runner for logs, commands and ports of pods';
  throw new StatusError(501, 'NotImplemented', message);
}

async function answer(
  { registry, kubelet }: Backend,
  authenticate: Authenticate,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const reader = authenticate(request);
  const url = urlOf(request);
  if (HEALTH.has(url.pathname)) return void response.end('ok');
  if (url.pathname === '/openapi/v2') return sendOpenapi(request, response);
  const all = aggregatedDiscovery(url.pathname, request.headers.accept ?? '');
  if (all) return sendJson(response, 200, all.document, all.type);
  const document = openapiV3(url.pathname) ?? documents.get(url.pathname);
  if (document) return sendJson(response, 200, document);
  if (isPodStream(url.pathname)) {
    authorize(reader, request, null);
    const path = streamPath(registry, url);
    if (!path.startsWith('/log/')) throw refuseStream();
    return passRequest(requireKubelet(kubelet), path, response);
  }
  const route = parseRoute(url.pathname);
  authorize(reader, request, route);
  if (!route) throw pathNotFound();
  if (request.method === 'GET') return read(registry, route, url.searchParams, request, response);
  // Refuses an unknown kind of patch before it reads the body.
  if (request.method === 'PATCH' && !isApply(request)) patcherOf(request);
  const body = await (request.method === 'PATCH' ? readPatch(request) : readObject(request));
  const [code, object] = write(registry, route, url.searchParams, { request, response, body });
  sendJson(response, code, object);
}

function read(
  registry: Registry,
  route: Route,
  query: URLSearchParams,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const { kind, namespace, name, subresource } = route;
  if (subresource === 'eviction') throw notAllowed();
  const asTable = wantsTable(request.headers.accept);
  const included = rowObjectOf(query);
  if (name !== '') {
    const object = registry.get(kind, { namespace, name });
    if (subresource === 'scale') return sendJson(response, 200, scaleOf(object));
    const { resourceVersion } = object.metadata;
    return sendJson(
      response,
      200,
      asTable ? toTable(kind, [object], { resourceVersion }, included) : object,
    );
  }
  const matches = matcherOf(route, query);
  if (isTrue(query.get('watch'))) {
    checkWatchOptions(query);
    return serveWatch(
      registry.store,
      {
        kind,
        namespace,
        matches,
        resourceVersion: query.get('resourceVersion') ?? '',
        bookmarks: isTrue(query.get('allowWatchBookmarks')),
        initialEvents: isTrue(query.get('sendInitialEvents')),
        timeoutS: watchTimeoutS(query),
        present: asTable ? (o, isFirst) => toTable(kind, [o], {}, included, isFirst) : null,
      },
      response,
    );
  }
  const isSelective = ['labelSelector', 'fieldSelector'].some((field) => query.get(field));
  const all = { kind, namespace, matches, isSelective, ...listOptions(query) };
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
  { request, response, body: { value: body, duplicates } }: Exchange,
): [code: number, object: object] {
  const { kind, namespace, name, subresource } = route;
  const manager = query.get('fieldManager') || managerOfAgent(request.headers['user-agent'] ?? '');
  const options = { ...writeOptions(request, query, response), duplicates, manager };
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
  if (subresource === 'scale' && (request.method === 'PUT' || request.method === 'PATCH')) {
    const patcher = request.method === 'PATCH' ? patcherOf(request) : undefined;
    return [200, writeScale(registry, kind, place, body, options, patcher)];
  }
  if (subresource === 'eviction') {
    if (request.method !== 'POST') throw notAllowed();
    const given = isObject(body) ? body.deleteOptions : undefined;
    return [201, evict(registry, place, body, deleteOptions(given, query))];
  }
  if (subresource !== '' && request.method === 'DELETE') throw notAllowed();
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
      return [200, removeOne(registry, route, deleteOptions(body, query))];
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

function matcherOf({ kind }: Route, query: URLSearchParams): Matcher {
  const labels = parseLabelSelector(query.get('labelSelector') ?? '');
  const fields = parseFieldSelector(query.get('fieldSelector') ?? '', kind.fields);
  return (object) => labels(object) && fields(object);
}

/**
 * The media type is a neutral one: clients ignore it, and some fail on the `@` of the official one.
 */
function sendOpenapi(request: IncomingMessage, response: ServerResponse): void {
  if (!request.headers.accept?.includes('protobuf')) return sendJson(response, 200, openapiJson());
  response.writeHead(200, { 'content-type': 'application/octet-stream' });
  response.end(openapiProtobuf());
}

function sendJson(
  response: ServerResponse,
  code: number,
  body: object,
  type = 'application/json',
): void {
  const text = JSON.stringify(body);
  response.writeHead(code, {
    'content-type': type,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-cache, private',
  });
  response.end(text);
}

function sendError(response: ServerResponse, error: unknown): void {
  if (response.headersSent) return void response.destroy();
  const status = statusOf(error);
  sendJson(response, status.code, status.toStatus());
}

function statusOf(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  // The stack goes to the server's log only.
  console.error((error as Error).stack);
  const message = `Internal error occurred: ${(error as Error).message}`;
  return new StatusError(500, 'InternalError', message);
}

function isTrue(text: string | null): boolean {
  return text === 'true' || text === '1';
}
