// A small API server with the faults that an informer must survive: connections that end in the
// middle of a line, expired versions, refusals. Plain HTTP on loopback, list and watch of any kind.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Metadata {
  namespace?: string;
  name?: string;
  uid?: string;
  resourceVersion?: string;
}

export interface FakeObject {
  metadata?: Metadata;
}

/** The object of most tests: a ConfigMap that contains a number. */
export interface FakeNumber {
  metadata: Metadata;
  data: { value: string };
}

const NUMBERS = 'configmaps';

interface LogEntry {
  plural: string;
  version: number;
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  object: FakeObject;
}

export class FakeApi {
  /** Plural -> name -> object. */
  readonly #collections = new Map<string, Map<string, FakeObject>>();
  readonly log: LogEntry[] = [];
  readonly requests: string[] = [];
  /** Status codes to answer the next requests with. */
  readonly refusals: number[] = [];
  /** Refuses expired watches by an ERROR event in place of a 410 status. */
  expireByEvent = false;
  pageMax = 1000;
  kubeconfig = '';
  #version = 1;
  #oldest = 1;
  #uid = 0;
  /** Open watches and their plurals. */
  readonly #watchers = new Map<ServerResponse, string>();
  readonly #server = createServer((request, response) => this.#answer(request, response));
  #folder = '';

  static async start(host = '127.0.0.1', port = 0): Promise<FakeApi> {
    const api = new FakeApi();
    await new Promise<void>((done) => api.#server.listen(port, host, done));
    const bound = (api.#server.address() as AddressInfo).port;
    api.#folder = mkdtempSync(join(tmpdir(), 'kubetun-fake-'));
    api.kubeconfig = join(api.#folder, 'kubeconfig');
    const cluster = { server: `http://${host}:${bound}`, 'insecure-skip-tls-verify': true };
    writeFileSync(
      api.kubeconfig,
      JSON.stringify({
        clusters: [{ name: 'fake', cluster }],
        users: [{ name: 'me', user: { token: 't0k3n' } }],
        contexts: [{ name: 'fake', context: { cluster: 'fake', user: 'me' } }],
        'current-context': 'fake',
      }),
    );
    return api;
  }

  get watching(): number {
    return this.#watchers.size;
  }

  /** The numbers in all objects. */
  get objects(): Map<string, FakeNumber> {
    return this.#collection(NUMBERS) as Map<string, FakeNumber>;
  }

  put(name: string, value: number): void {
    this.putObject(NUMBERS, {
      metadata: { namespace: 'default', name },
      data: { value: String(value) },
    } as FakeObject);
  }

  remove(name: string): void {
    this.removeObject(NUMBERS, name);
  }

  /** Creates or replaces an object. */
  putObject(plural: string, object: FakeObject): void {
    const before = this.#collection(plural).get(object.metadata?.name ?? '');
    const uid = before?.metadata?.uid ?? `uid-${++this.#uid}`;
    const whole = { ...object, metadata: { ...object.metadata, uid } };
    this.#write(plural, before ? 'MODIFIED' : 'ADDED', whole);
  }

  removeObject(plural: string, name: string): void {
    const before = this.#collection(plural).get(name);
    if (before) this.#write(plural, 'DELETED', structuredClone(before));
  }

  bookmark(): void {
    const object = { metadata: { resourceVersion: String(++this.#version) } };
    for (const w of this.#watchers.keys()) {
      w.write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
    }
  }

  /** Ends every watch in the middle of the line of an event. */
  cut(): void {
    for (const watcher of this.#watchers.keys()) {
      watcher.write('{"type":"ADDED","object":{"metadata":{"na');
      watcher.socket?.destroy();
    }
    this.#watchers.clear();
  }

  /** Forgets the history: a watch from before now is refused with 410. */
  expire(): void {
    this.#oldest = this.#version;
  }

  async stop(): Promise<void> {
    this.cut();
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
    rmSync(this.#folder, { recursive: true });
  }

  #collection(plural: string): Map<string, FakeObject> {
    const found = this.#collections.get(plural) ?? new Map<string, FakeObject>();
    this.#collections.set(plural, found);
    return found;
  }

  #write(plural: string, type: LogEntry['type'], object: FakeObject): void {
    const version = ++this.#version;
    const name = object.metadata?.name ?? '';
    object.metadata = { ...object.metadata, resourceVersion: String(version) };
    if (type === 'DELETED') this.#collection(plural).delete(name);
    else this.#collection(plural).set(name, object);
    this.log.push({ plural, version, type, object });
    for (const [watcher, watched] of this.#watchers) {
      if (watched === plural) watcher.write(`${JSON.stringify({ type, object })}\n`);
    }
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '', 'http://fake');
    this.requests.push(`${request.method} ${request.url}`);
    const refusal = this.refusals.shift();
    if (refusal) this.#status(response, refusal);
    else if (request.headers.authorization !== 'Bearer t0k3n') this.#status(response, 401);
    else if (url.searchParams.get('watch')) this.#watch(url, response);
    else this.#list(url, response);
  }

  #status(response: ServerResponse, code: number): void {
    response.writeHead(code, { 'content-type': 'application/json' });
    const reason = code === 410 ? 'Expired' : 'Refused';
    response.end(JSON.stringify({ kind: 'Status', code, reason, message: `refused: ${code}` }));
  }

  #list(url: URL, response: ServerResponse): void {
    const all = [...this.#collection(pluralOf(url)).values()];
    const from = Number(url.searchParams.get('continue') ?? 0);
    const limit = Math.min(this.pageMax, Number(url.searchParams.get('limit') ?? 1e9));
    const next = from + limit < all.length ? String(from + limit) : '';
    const metadata = { resourceVersion: String(this.#version), continue: next };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ items: all.slice(from, from + limit), metadata }));
  }

  #watch(url: URL, response: ServerResponse): void {
    const from = Number(url.searchParams.get('resourceVersion'));
    if (from < this.#oldest) {
      const object = { code: 410, reason: 'Gone' };
      if (!this.expireByEvent) this.#status(response, 410);
      else response.end(`${JSON.stringify({ type: 'ERROR', object })}\n`);
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    const watched = pluralOf(url);
    for (const { plural, version, type, object } of this.log) {
      if (plural === watched && version > from)
        response.write(`${JSON.stringify({ type, object })}\n`);
    }
    this.#watchers.set(response, watched);
    response.on('close', () => this.#watchers.delete(response));
  }
}

function pluralOf(url: URL): string {
  return url.pathname.split('/').at(-1) ?? '';
}

/** Waits until a condition holds. Fails after 10 s with the name of the condition. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within 10 s: ${what}`);
    await new Promise((done) => setTimeout(done, 2));
  }
}
