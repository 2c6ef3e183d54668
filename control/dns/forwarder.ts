// Asks upstream servers for names outside the cluster, and caches answers for their TTLs.
import { AnswerCache, type CacheOptions, isDenial } from './cache.ts';
import { RCODE } from './constants.ts';
import { exchange, type Request, type ServerAddress } from './exchange.ts';
import type { Metrics } from './metrics.ts';
import { foldCase } from './name.ts';
import type { Answer } from './record.ts';

export interface Forward {
  /** Rejects with Error if no server gives an answer. */
  ask(request: Request): Promise<Answer>;
}

export interface ForwarderOptions {
  servers: ServerAddress[];
  cache: CacheOptions;
  /** Limit for one answer of one server. */
  timeoutMs: number;
  metrics: Metrics;
}

/**
 * Limit of open questions. Further ones are refused, so that a dead upstream server costs no
 * memory.
 */
const OPEN_MAX = 1000;
/** Attempts at each server before a question fails. */
const ROUNDS = 2;

export class Forwarder implements Forward {
  readonly #options: ForwarderOptions;
  readonly #cache: AnswerCache;
  /** Open questions. The same question is sent upstream once. */
  readonly #open = new Map<string, Promise<Answer>>();

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#cache = new AnswerCache(options.cache);
  }

  get entries(): number {
    return this.#cache.size;
  }

  ask(request: Request): Promise<Answer> {
    const { metrics } = this.#options;
    const key = keyOf(request);
    const cached = this.#cache.get(key);
    if (cached) {
      metrics.cacheHit(isDenial(cached) ? 'denial' : 'success');
      return Promise.resolve(cached);
    }
    metrics.cacheMiss();
    const open = this.#open.get(key);
    if (open) return open;
    if (this.#open.size >= OPEN_MAX) {
      metrics.forwardRejected();
      return Promise.reject(new Error(`${OPEN_MAX} questions wait for upstream already`));
    }
    const answer = this.#askServers(request)
      .then((answer) => this.#cache.put(key, answer))
      .finally(() => this.#open.delete(key));
    this.#open.set(key, answer);
    return answer;
  }

  async #askServers(request: Request): Promise<Answer> {
    const { servers, timeoutMs, metrics } = this.#options;
    let failure: unknown = new Error('there is no upstream: give one with --upstream');
    for (let attempt = 0; attempt < ROUNDS * servers.length; attempt++) {
      const server = servers[attempt % servers.length]!;
      const startedMs = performance.now();
      try {
        const message = await exchange(server, request, timeoutMs);
        const { answers, authority, additional, flags } = message;
        const rcode = flags & 15;
        metrics.forwarded(server, rcode, performance.now() - startedMs);
        const answer = { rcode, isAuthoritative: false, answers, authority, additional };
        if (rcode === RCODE.NOERROR || rcode === RCODE.NXDOMAIN) return answer;
        failure = new Error(`${server.address}:${server.port} answers with code ${rcode}`);
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }
}

function keyOf({ name, type, isSecure, isUnchecked }: Request): string {
  return `${type} ${Number(isSecure)}${Number(isUnchecked)} ${foldCase(name)}`;
}
