// HTTP pages of the server: /health, /ready and /metrics, at CoreDNS's ports.
import { createServer, type Server } from 'node:http';
import { guardRequests, guardServer, type OnFailure } from '../serve/guard.ts';
import type { Metrics } from './metrics.ts';

export interface PageOptions {
  address: string;
  ports: { health: number; ready: number; metrics: number };
  metrics: Metrics;
  /** The server has all objects, so its answers are complete. */
  isReady: () => boolean;
  /** The server ends soon. Load balancers should remove it. */
  isEnding: () => boolean;
  onFailure: OnFailure;
}

interface Page {
  status: number;
  text: string;
}

/** Resolves once all three are served. */
export async function servePages(options: PageOptions): Promise<Server[]> {
  const { ports, metrics, isReady, isEnding } = options;
  const serving = () => !isEnding();
  return Promise.all([
    serve(options, ports.health, '/health', () => state(serving())),
    serve(options, ports.ready, '/ready', () => state(isReady() && serving())),
    serve(options, ports.metrics, '/metrics', () => ({ status: 200, text: metrics.format() })),
  ]);
}

function state(isGood: boolean): Page {
  return isGood ? { status: 200, text: 'OK' } : { status: 503, text: 'not ready' };
}

function serve(
  { address, onFailure }: PageOptions,
  port: number,
  path: string,
  read: () => Page,
): Promise<Server> {
  const server = createServer(
    guardRequests((request, response) => {
      const isKnown = request.url?.split('?')[0] === path;
      const { status, text } = isKnown ? read() : { status: 404, text: `only ${path} is here` };
      response.writeHead(status, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
      response.end(text);
    }, onFailure),
  );
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, () => {
      resolve(guardServer(server.off('error', reject), onFailure));
    });
  });
}
