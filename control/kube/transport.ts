// HTTP to an API server. The official client reads the kubeconfig and authenticates (tokens, client
// certificates, exec plugins, in-cluster accounts, proxies). Node.js sends the requests, because
// the official client opens a TLS connection for each. Its Watch cannot be ended while it connects,
// and it ignores a callback's exception like a bad line.
import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, type RequestOptions, request as requestHttps } from 'node:https';
import { text } from 'node:stream/consumers';
import { KubetunError } from '../../datapath/error.ts';
import { type KubeAccess, loadKubeConfig } from './config.ts';
import { KubeStatusError, type StatusBody } from './error.ts';
import type { KubeConfig } from './kube-config.ts';

/** The longest wait for the head of an answer. */
const ANSWER_MS_MAX = 30_000;
const CONNECTION_LOST = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED']);

export interface KubeRequest {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** Path and query. */
  path: string;
  body?: unknown;
  contentType?: string;
  signal?: AbortSignal;
}

const UNREACHABLE_NEXT = {
  kubeconfig: 'check that it is running and that the kubeconfig has its address',
  account:
    'give its own address with --server: an agent cannot reach it through the Service it serves',
};

/**
 * Reads a kubeconfig, or with null the account of this pod. Throws KubetunError KT_KUBECONFIG. Each
 * request reads key files and asks plugins, and rejects with KT_KUBE_CREDENTIALS if that fails.
 */
export function openTransport(
  kubeconfigPath: string | null,
  access: KubeAccess = {},
  unreachableNext?: string,
): Transport {
  const config = loadKubeConfig(kubeconfigPath, access);
  const { server, proxyUrl } = config.getCurrentCluster()!;
  const whose = kubeconfigPath === null && access.server === undefined ? 'account' : 'kubeconfig';
  const next = unreachableNext ?? UNREACHABLE_NEXT[whose];
  return new Transport(config, server.replace(/\/$/, ''), Boolean(proxyUrl), next);
}

/** An authenticated connection to one API server. */
export class Transport {
  /** Base address from the kubeconfig. */
  readonly server: string;
  /** Namespace of the kubeconfig's context. */
  readonly namespace: string;
  readonly #config: KubeConfig;
  readonly #url: URL;
  readonly #proxied: boolean;
  readonly #unreachableNext: string;
  #agent: HttpAgent | null = null;
  #agentKey = '';

  constructor(config: KubeConfig, server: string, proxied: boolean, unreachableNext: string) {
    this.#unreachableNext = unreachableNext;
    this.#config = config;
    this.server = server;
    this.#url = new URL(server);
    this.#proxied = proxied;
    this.namespace = config.getContextObject(config.getCurrentContext())?.namespace ?? 'default';
  }

  /** Sends a request. Resolves with the head of an answer whose status is below 300. */
  async open(request: KubeRequest): Promise<IncomingMessage> {
    const body = request.body === undefined ? null : Buffer.from(JSON.stringify(request.body));
    const options = await this.#options(request, body?.length ?? null);
    let response: IncomingMessage;
    try {
      response = await this.#send(options, body, request.signal);
    } catch (error) {
      // The server may have closed an idle connection during the write.
      if (!(error instanceof StaleConnection)) throw this.#unreachable(error);
      response = await this.#send(options, body, request.signal).catch((second) => {
        throw this.#unreachable(second);
      });
    }
    const status = response.statusCode ?? 0;
    if (status < 300) return response;
    throw new KubeStatusError(
      status,
      parseStatus(await text(response)),
      `${request.method} ${request.path.split('?')[0]}`,
    );
  }

  /** Closes idle connections. */
  close(): void {
    this.#agent?.destroy();
  }

  async #options(request: KubeRequest, bodyBytes: number | null): Promise<RequestOptions> {
    const auth: RequestOptions = {};
    try {
      await this.#config.applyToHTTPSOptions(auth);
    } catch (error) {
      const why = error instanceof Error ? error.message.trim().split('\n')[0] : String(error);
      throw new KubetunError(
        'KT_KUBE_CREDENTIALS',
        `no credentials for ${this.server} (${why})`,
        'check the files, the proxy and the exec plugin of the user and cluster in the kubeconfig',
        { cause: error },
      );
    }
    const headers: Record<string, string> = {
      accept: 'application/json',
      'user-agent': 'kubetun',
      ...(auth.headers as Record<string, string> | undefined),
    };
    if (bodyBytes !== null) {
      headers['content-type'] = request.contentType ?? 'application/json';
      // Node sets no length and no chunks for a DELETE.
      headers['content-length'] = String(bodyBytes);
    }
    return {
      method: request.method,
      protocol: this.#url.protocol,
      hostname: this.#url.hostname.replace(/^\[|\]$/g, ''),
      port: this.#url.port || undefined,
      path: this.#url.pathname.replace(/\/$/, '') + request.path,
      headers,
      auth: auth.auth,
      agent: this.#proxied ? auth.agent : this.#keepAliveAgent(auth),
    };
  }

  /** An agent with open connections. New credentials need a new agent. */
  #keepAliveAgent(auth: RequestOptions): HttpAgent {
    const { ca, cert, key, servername, rejectUnauthorized } = auth;
    const agentKey = JSON.stringify([ca, cert, key, servername, rejectUnauthorized].map(String));
    if (this.#agent && this.#agentKey === agentKey) return this.#agent;
    this.#agent?.destroy();
    this.#agentKey = agentKey;
    const options = { keepAlive: true, keepAliveMsecs: 30_000, ca, cert, key, rejectUnauthorized };
    this.#agent =
      this.#url.protocol === 'http:'
        ? new HttpAgent(options)
        : new HttpsAgent(servername ? { ...options, servername } : options);
    return this.#agent;
  }

  #send(o: RequestOptions, body: Buffer | null, signal?: AbortSignal): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const send = o.protocol === 'http:' ? requestHttp : requestHttps;
      const request = send({ ...o, signal });
      const timer = setTimeout(() => {
        request.destroy(new Error(`no answer within ${ANSWER_MS_MAX / 1000} s`));
      }, ANSWER_MS_MAX);
      request.on('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(timer);
        const stale = request.reusedSocket && CONNECTION_LOST.has(error.code ?? '');
        reject(stale ? new StaleConnection('', { cause: error }) : error);
      });
      request.on('response', (response) => {
        clearTimeout(timer);
        resolve(response);
      });
      request.end(body ?? undefined);
    });
  }

  #unreachable(error: unknown): Error {
    if (error instanceof Error && error.name === 'AbortError') return error;
    const code = (error as NodeJS.ErrnoException | null)?.code ?? (error as Error | null)?.message;
    return new KubetunError(
      'KT_KUBE_UNREACHABLE',
      `the API server at ${this.server} does not answer (${code})`,
      this.#unreachableNext,
      { cause: error },
    );
  }
}

class StaleConnection extends Error {}

function parseStatus(answer: string): StatusBody {
  try {
    const body: unknown = JSON.parse(answer);
    return typeof body === 'object' && body !== null ? (body as StatusBody) : {};
  } catch {
    return { message: answer.trim().split('\n')[0]?.slice(0, 200) || undefined };
  }
}
