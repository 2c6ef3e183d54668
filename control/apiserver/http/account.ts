// Users by their tokens: the owner of the server, and accounts that may only read some kinds.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { StatusError } from '../status.ts';
import type { Route } from './route.ts';

/** An account that lists, gets and watches objects of some kinds, and writes by its rights only. */
export interface Reader {
  /** Such as system:serviceaccount:kube-system:kube-dns. */
  user: string;
  token: string;
  /** Plural names of kinds. */
  resources: string[];
  rights?: Right[];
}

/** Requests that an account may make beyond reads. */
export interface Right {
  /** Plural name of a kind, with `/status` for that part of its objects. */
  resource: string;
  /** The one namespace of the right. Absent: all. */
  namespace?: string;
  methods: ('GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE')[];
}

/** The account of a request, or null for the owner. Throws StatusError 401 without a token. */
export type Authenticate = (request: IncomingMessage) => Reader | null;

export function authenticator(token: string, readers: readonly Reader[] = []): Authenticate {
  const known = [
    { token, reader: null },
    ...readers.map((reader) => ({ token: reader.token, reader })),
  ];
  const digests = known.map((row) => ({ ...row, digest: digest(`Bearer ${row.token}`) }));
  return ({ headers }) => {
    const given = digest(headers.authorization ?? '');
    // Digests have one length, so the time of the comparison reveals nothing about the token.
    const found = digests.find((row) => timingSafeEqual(given, row.digest));
    if (found) return found.reader;
    throw new StatusError(401, 'Unauthorized', 'Unauthorized');
  };
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** Throws StatusError 403 for what an account may not do, worded as upstream's RBAC does. */
export function authorize(
  reader: Reader | null,
  { method, url }: IncomingMessage,
  route: Route | null,
): void {
  if (reader === null) return;
  const refuse = (message: string) => new StatusError(403, 'Forbidden', message);
  const user = `User ${JSON.stringify(reader.user)} cannot`;
  if (!route)
    throw refuse(`forbidden: ${user} ${method?.toLowerCase()} path ${JSON.stringify(url)}`);
  const { kind, namespace, name, subresource } = route;
  if (method === 'GET' && subresource === '' && reader.resources.includes(kind.plural)) return;
  const resource = subresource === '' ? kind.plural : `${kind.plural}/${subresource}`;
  const isGranted = (right: Right) =>
    right.resource === resource &&
    (right.namespace === undefined || right.namespace === namespace) &&
    (right.methods as string[]).includes(method!);
  if (reader.rights?.some(isGranted)) return;
  const where = namespace === '' ? 'at the cluster scope' : `in the namespace "${namespace}"`;
  const read = name === '' ? 'list' : 'get';
  const what = `resource "${resource}" in API group "${kind.group}"`;
  throw refuse(`${kind.plural} is forbidden: ${user} ${VERBS[method!] ?? read} ${what} ${where}`);
}

const VERBS: Record<string, string> = {
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};
