import { Agent, request } from 'node:http';
import { formatAddress } from '../../datapath/wire/address.ts';
import type { HealthAnswer, HealthTarget } from '../balancers/health.ts';

const ANSWER_MS_MAX = 900;
/** Sockets are kept, one for each target, as long as they are no more than this. */
const SOCKETS_KEPT_MAX = 256;

/** Asks targets for `/healthz` from the network namespace of this process. */
export class HealthAsker {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  ask(target: HealthTarget): Promise<HealthAnswer> {
    return this.#ask(target, true);
  }

  stop(): void {
    this.#agent.destroy();
  }

  #ask(target: HealthTarget, isFirst: boolean): Promise<HealthAnswer> {
    const kept = Object.keys(this.#agent.freeSockets).length < SOCKETS_KEPT_MAX;
    return new Promise((resolve) => {
      const call = request({
        ...{ host: formatAddress(target.address), port: target.port, path: '/healthz' },
        agent: kept ? this.#agent : false,
        signal: AbortSignal.timeout(ANSWER_MS_MAX),
      });
      call.on('response', (response) => {
        response.resume();
        // The answer is known; a body that does not end must not count as another failure.
        response.on('error', () => {});
        const { statusCode } = response;
        resolve(statusCode === 200 ? 'ok' : statusCode === 503 ? 'refused' : 'failed');
      });
      call.on('error', (error: NodeJS.ErrnoException) => {
        // The other side may close a socket that is kept just when it is used again.
        const isStale = call.reusedSocket && error.code === 'ECONNRESET' && isFirst;
        if (isStale) resolve(this.#ask(target, false));
        else resolve('failed');
      });
      call.end();
    });
  }
}
