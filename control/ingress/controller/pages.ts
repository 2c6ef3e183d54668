// HTTP pages of the controller: /healthz and /metrics. HAProxy has pages of its own.
import { createServer, type Server } from 'node:http';
import { guardRequests, guardServer, type OnFailure } from '../../serve/guard.ts';

export interface ControllerState {
  /** Why HAProxy does not run the newest configuration. Null if it does. */
  fault: string | null;
  isLeading: boolean;
  counts: Record<string, number>;
}

/** Resolves once the pages are served. */
export function servePages(
  port: number,
  read: () => ControllerState,
  onFailure: OnFailure,
): Promise<Server> {
  const server = createServer(
    guardRequests((request, response) => {
      const { status, text } = pageOf(request.url?.split('?')[0], read());
      response.writeHead(status, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
      response.end(text);
    }, onFailure),
  );
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, () => resolve(guardServer(server.off('error', reject), onFailure)));
  });
}

function pageOf(path: string | undefined, state: ControllerState) {
  if (path === '/healthz') {
    return state.fault === null ? { status: 200, text: 'ok' } : { status: 503, text: state.fault };
  }
  if (path === '/metrics') return { status: 200, text: metricsOf(state) };
  return { status: 404, text: 'only /healthz and /metrics are here' };
}

const HELP: Record<string, string> = {
  reloads: 'Reloads of HAProxy.',
  commands: 'Changes of the running HAProxy by its socket.',
  refused: 'Configurations that HAProxy has refused.',
};

export function metricsOf({ fault, isLeading, counts }: ControllerState): string {
  const metric = (name: string, type: string, help: string, value: number) =>
    `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name} ${value}\n`;
  const prefix = 'kubetun_ingress';
  return [
    ...Object.entries(counts).map(([name, value]) =>
      metric(`${prefix}_${name}_total`, 'counter', HELP[name] ?? name, value),
    ),
    metric(`${prefix}_up_to_date`, 'gauge', '1 if HAProxy runs the newest configuration.', +!fault),
    metric(`${prefix}_leader`, 'gauge', '1 if this controller writes status.', +isLeading),
  ].join('');
}
