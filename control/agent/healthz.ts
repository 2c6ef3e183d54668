// What load balancers and the kubelet ask of a service proxy, at the address where they expect kube-proxy's answer:
// pkg/proxy/healthcheck/proxy_health.go.
import { createServer, type Server } from 'node:http';
import { KubetunError } from '../../datapath/error.ts';

/**
 * Answers GET /livez with 200 while this process lives, and GET /healthz with 200 once it serves the cluster's
 * Services, else 503. Throws KubetunError KT_HEALTHZ.
 *
 * @param at `address:port`.
 */
export async function serveHealth(at: string, isReady: () => boolean): Promise<Server> {
  const [host, port] = at.split(':');
  const server = createServer(({ url }, response) => {
    const status = url === '/livez' || (url === '/healthz' && isReady()) ? 200 : 503;
    const known = url === '/livez' || url === '/healthz';
    response.writeHead(known ? status : 404, { 'content-type': 'application/json' });
    response.end(known ? `{"ready":${isReady()}}\n` : '');
  });
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen({ host, port: Number(port) }, resolve);
    });
  } catch (cause) {
    throw new KubetunError(
      'KT_HEALTHZ',
      `health cannot be told at ${at} (${(cause as NodeJS.ErrnoException).code})`,
      'does kube-proxy still run? Name another address with --healthz',
      { cause },
    );
  }
  return server;
}
