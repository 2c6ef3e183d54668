// Which route serves a request, as HAProxy finds it in the maps. Pure.
import { type Backend, NOT_FOUND, type Plan, type Route, UNAVAILABLE } from './model.ts';
import { decodePath } from './names.ts';

export interface Request {
  /** The Host header, perhaps with a port. Empty if there is none. */
  host: string;
  /** As sent, with its query. */
  target: string;
}

export interface Match {
  /** The status of HAProxy's own answer. Null if a server answers. */
  status: 400 | 404 | 503 | null;
  /** Null for a request that is refused. */
  route: Route | null;
  backend: Backend | null;
}

const HOST_ALLOWED = /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])$/;

export function matchRequest(plan: Plan, request: Request): Match {
  const host = requestHost(request.host);
  const path = decodePath(request.target.replace(/\?.*$/s, ''));
  if (host === null || path === null) return { status: 400, route: null, backend: null };
  const route = plan.routes.find((each) => matchesHost(each, host) && matchesPath(each, path))!;
  const backend = plan.backends.find(({ id }) => id === route.backend) ?? null;
  return { status: statusOf(route, backend), route, backend };
}

function statusOf(route: Route, backend: Backend | null): Match['status'] {
  if (route.backend === NOT_FOUND) return 404;
  if (route.backend === UNAVAILABLE || !backend) return 503;
  return backend.servers.length > 0 ? null : 503;
}

/** Without port and dot at the end, in lower case. Null if it is no host. */
export function requestHost(text: string): string | null {
  const host = text.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '');
  return text === '' || HOST_ALLOWED.test(host) ? host : null;
}

/** @param host as of {@link requestHost}. */
export function matchesHost(route: Route, host: string): boolean {
  if (route.host === '*') return true;
  const first = host.indexOf('.');
  return route.host === host || (first > 0 && route.host === `*${host.slice(first)}`);
}

/** @param path as of {@link decodePath}. */
export function matchesPath({ type, path: text }: Route, path: string): boolean {
  const own = Buffer.from(text).toString('latin1');
  if (type === 'Exact') return own === path;
  return own === '/' || own === path || path.startsWith(`${own}/`);
}
