import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { KubetunError } from '../../datapath/error.ts';
import { kubeconfigOf, labFlag } from '../places.ts';
import type { KubeAccess } from './config.ts';
import { KubeStatusError, type StatusBody } from './error.ts';
import { KINDS, type KubeKind, type KubeKinds, pathOf } from './kinds.ts';
import { type KubeRequest, openTransport, type Transport } from './transport.ts';

/** The scope of a list or a watch. Without a namespace it covers all namespaces. */
export interface KubeScope {
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
}

export interface KubeListOptions extends KubeScope {
  limit?: number;
  continue?: string;
  resourceVersion?: string;
}

export interface KubeWatchOptions extends KubeScope {
  resourceVersion: string;
  /** The server ends the watch after this time. */
  timeoutS?: number;
  /** A watch without any event or bookmark for this time fails. */
  silenceMsMax: number;
  signal: AbortSignal;
}

export interface KubeList<T> {
  items: T[];
  resourceVersion: string;
  /** The token of the next page, empty on the last page. */
  continue: string;
}

/** The name of an object. Cluster-scoped kinds have no namespace. */
export interface KubeName {
  namespace?: string;
  name: string;
}

export interface KubeWatchEvent<T> {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  object: T;
}

export interface KubeWriteOptions {
  /** The server refuses unknown fields. Otherwise it drops them. */
  strict?: boolean;
}

export interface KubeDeleteOptions {
  /** gracePeriodSeconds; 0 removes at once. */
  graceS?: number;
  /** Delete only this incarnation, else 409. */
  uid?: string;
}

/** For commands: the longest time for a whole answer, and the next step after a timeout. */
export interface AnswerLimit {
  msMax: number;
  next: string;
}

/**
 * A client for a kubeconfig file, or with null for the account of this pod. The limit applies to
 * all requests except watches. Throws KT_KUBECONFIG.
 */
export function connectKube(
  kubeconfigPath: string | null,
  access: KubeAccess = {},
  limit: AnswerLimit | null = null,
): KubeClient {
  return new KubeClient(openTransport(kubeconfigPath, access, limit?.next), limit);
}

/** Shorter than the limit of an agent: a person waits for the answer, while an agent retries. */
const ANSWER_MS_MAX_LAB = 5000;

/** The API server of a lab, for a command that asks it once. Throws KubetunError KT_KUBECONFIG. */
export function connectLab(
  lab: string,
  next = `scripts/kubetun lab status${labFlag(lab)} shows whether its supervisor runs`,
): KubeClient {
  return connectKube(kubeconfigOf(lab), {}, { msMax: ANSWER_MS_MAX_LAB, next });
}

function query(values: Record<string, string | number | boolean | undefined>): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    if (value !== undefined && value !== '') params.set(key, String(value));
  }
  return params.size === 0 ? '' : `?${params}`;
}

/**
 * A Kubernetes API server, typed by kind. Every call rejects with KubeStatusError when the server
 * refuses (`status`, `reason`) and with KubetunError KT_KUBE_UNREACHABLE when it does not answer.
 */
export class KubeClient {
  readonly #transport: Transport;
  readonly #limit: AnswerLimit | null;

  constructor(transport: Transport, limit: AnswerLimit | null) {
    this.#transport = transport;
    this.#limit = limit;
  }

  get server(): string {
    return this.#transport.server;
  }

  /** Namespace of the kubeconfig's context. */
  get namespace(): string {
    return this.#transport.namespace;
  }

  async list<K extends KubeKind>(
    kind: K,
    options: KubeListOptions = {},
  ): Promise<KubeList<KubeKinds[K]>> {
    const { namespace, ...rest } = options;
    const path = pathOf(kind, namespace) + query(rest);
    const list = await this.#json<RawList<KubeKinds[K]>>('GET', path);
    return {
      items: list.items ?? [],
      resourceVersion: list.metadata?.resourceVersion ?? '',
      continue: list.metadata?.continue ?? '',
    };
  }

  get<K extends KubeKind>(kind: K, { namespace, name }: KubeName): Promise<KubeKinds[K]> {
    return this.#json('GET', this.#path(kind, namespace, name));
  }

  /** Takes the namespace from the object's metadata. Fills in apiVersion and kind. */
  create<K extends KubeKind>(
    kind: K,
    object: KubeKinds[K],
    { strict = false }: KubeWriteOptions = {},
  ): Promise<KubeKinds[K]> {
    const path = this.#path(kind, object.metadata?.namespace);
    const validation = query({ fieldValidation: strict ? 'Strict' : undefined });
    return this.#json('POST', path + validation, complete(kind, object));
  }

  /** JSON merge patch (RFC 7386), of the object or of a subresource such as `status`. */
  patch<K extends KubeKind>(
    kind: K,
    { namespace, name }: KubeName,
    patch: object,
    subresource?: string,
  ): Promise<KubeKinds[K]> {
    const path = this.#path(kind, namespace, name) + (subresource ? `/${subresource}` : '');
    return this.#json('PATCH', path, patch, 'application/merge-patch+json');
  }

  async delete(kind: KubeKind, name: KubeName, options: KubeDeleteOptions = {}): Promise<void> {
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      gracePeriodSeconds: options.graceS,
      preconditions: options.uid === undefined ? undefined : { uid: options.uid },
    };
    await this.#json('DELETE', this.#path(kind, name.namespace, name.name), body);
  }

  /** Resolves when the server ends the watch; an ERROR event rejects with KubeStatusError. */
  async watch<K extends KubeKind>(
    kind: K,
    options: KubeWatchOptions,
    onEvent: (event: KubeWatchEvent<KubeKinds[K]>) => void,
  ): Promise<void> {
    const { namespace, labelSelector, fieldSelector, resourceVersion, timeoutS } = options;
    const path =
      pathOf(kind, namespace) +
      query({
        watch: true,
        allowWatchBookmarks: true,
        labelSelector,
        fieldSelector,
        resourceVersion,
        timeoutSeconds: timeoutS,
      });
    const response = await this.#transport.open({ method: 'GET', path, signal: options.signal });
    await readEvents<KubeKinds[K]>(response, options.silenceMsMax, (event) => {
      if ((event.type as string) !== 'ERROR') onEvent(event);
      else {
        const status = event.object as StatusBody;
        throw new KubeStatusError(status.code ?? 500, status, `watch of ${KINDS[kind].plural}`);
      }
    });
  }

  /** Closes idle connections, so that the process can end. */
  close(): void {
    this.#transport.close();
  }

  #path(kind: KubeKind, namespace: string | undefined, name?: string): string {
    // A namespaced object without a namespace is in that of the context, as for kubectl.
    return pathOf(kind, namespace ?? this.#transport.namespace, name);
  }

  async #json<T>(
    method: KubeRequest['method'],
    path: string,
    body?: unknown,
    contentType?: string,
  ): Promise<T> {
    // One signal for head and body: a server can stop in the middle of an answer.
    const signal = this.#limit ? AbortSignal.timeout(this.#limit.msMax) : undefined;
    const response = await this.#transport
      .open({ method, path, body, contentType, signal })
      .catch((error: unknown) => {
        throw signal?.aborted ? this.#late(error) : error;
      });
    try {
      return JSON.parse(await text(response)) as T;
    } catch (error) {
      throw signal?.aborted ? this.#late(error) : cutOff(this.server, error);
    }
  }

  #late(cause: unknown): KubetunError {
    const { msMax, next } = this.#limit!;
    const message = `the API server at ${this.server} has not answered within ${msMax / 1000} s`;
    return new KubetunError('KT_KUBE_UNREACHABLE', message, next, { cause });
  }
}

interface RawList<T> {
  items?: T[];
  metadata?: { resourceVersion?: string; continue?: string };
}

function complete<K extends KubeKind>(kind: K, object: KubeKinds[K]): KubeKinds[K] {
  return { apiVersion: KINDS[kind].apiVersion, kind, ...object };
}

function cutOff(server: string, cause: unknown): KubetunError {
  return new KubetunError(
    'KT_KUBE_CUT_OFF',
    `the API server at ${server} ended the connection in the middle of an answer`,
    'try again',
    { cause },
  );
}

/**
 * Calls back for every line of a watch until the server ends it. Drops a line that the end of the
 * connection cuts off: the next watch gets it again.
 */
async function readEvents<T>(
  response: IncomingMessage,
  silenceMsMax: number,
  onEvent: (event: KubeWatchEvent<T>) => void,
): Promise<void> {
  const silence = setTimeout(() => {
    response.destroy(new Error(`the watch was silent for ${silenceMsMax / 1000} s`));
  }, silenceMsMax);
  response.setEncoding('utf8');
  let rest = '';
  try {
    for await (const chunk of response as AsyncIterable<string>) {
      silence.refresh();
      const lines = (rest + chunk).split('\n');
      rest = lines.pop()!;
      for (const line of lines) if (line) onEvent(JSON.parse(line) as KubeWatchEvent<T>);
    }
  } finally {
    clearTimeout(silence);
    response.destroy();
  }
}
