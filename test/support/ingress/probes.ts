// Requests that try to reach what no rule names, or to be two requests for the backend. The raw
// bytes go to HAProxy. Sources: RFC 9112 sections 2, 5, 6, 11; RFC 9113 section 8; PortSwigger's
// list of desynchronisations.
import type { Seen } from './backend.ts';
import { type Field, h2Request } from './h2-frames.ts';

/** Each probe has a number. The header x-probe has it in every request that it may cause. */
export interface Probe {
  name: string;
  /** In latin1. #### stands for the number of the probe. */
  bytes: string;
  tls?: { servername: string; alpn: string };
  /** The backend that the rules name for it. Null: none. */
  backend: string | null;
  /** Requests that this backend sees. The default is 1, or 0 without a backend. */
  count?: number;
}

const HOST = 'guarded.test';
/** Rules of HOST: /public leads to `plain`. /private leads to `secret`, for no client at all. */
const REACHED = 'plain';
const LINES = (...lines: string[]) => `${lines.join('\r\n')}\r\n`;

function request(target: string, host = HOST, method = 'GET', ...headers: string[]): string {
  const own = [`Host: ${host}`, 'X-Probe: ####', 'Connection: close', ...headers];
  return LINES(`${method} ${target} HTTP/1.1`, ...own, '');
}

const SMUGGLED = LINES('GET /public/smuggled HTTP/1.1', `Host: ${HOST}`, 'X-Probe: ####', '');
const CHUNKED = 'Transfer-Encoding: chunked';

/** A POST whose body is a request of its own. Framing headers decide where it ends. */
function framed(name: string, headers: string[], body: string, backend: string | null): Probe {
  return { name, bytes: request('/public', HOST, 'POST', ...headers) + body, backend };
}

/** Refused, or one request with a body. Never two. */
const FRAMING: Probe[] = [
  framed('two lengths that differ', ['Content-Length: 0', 'Content-Length: 60'], SMUGGLED, null),
  framed('a list of lengths that differ', ['Content-Length: 0, 60'], SMUGGLED, null),
  framed('a length with a sign', ['Content-Length: +0'], SMUGGLED, null),
  framed('a negative length', ['Content-Length: -1'], SMUGGLED, null),
  framed('a length in hex', ['Content-Length: 0x0'], SMUGGLED, null),
  framed('a length without digits', ['Content-Length: '], SMUGGLED, null),
  framed('a length over 64 bits', ['Content-Length: 18446744073709551616'], SMUGGLED, null),
  framed('a space before the colon', ['Content-Length : 0'], SMUGGLED, null),
  framed('an unknown coding', ['Transfer-Encoding: xchunked'], `0\r\n\r\n${SMUGGLED}`, null),
  framed('chunked twice', ['Transfer-Encoding: chunked, chunked'], `0\r\n\r\n${SMUGGLED}`, null),
  framed('chunked not last', ['Transfer-Encoding: chunked, gzip'], `0\r\n\r\n${SMUGGLED}`, null),
  framed('a quoted coding', ['Transfer-Encoding: "chunked"'], `0\r\n\r\n${SMUGGLED}`, null),
  framed('a coding after VT', ['Transfer-Encoding:\x0bchunked'], `0\r\n\r\n${SMUGGLED}`, null),
  framed(
    'a coding with a fold',
    ['Transfer-Encoding:', ' chunked'],
    `0\r\n\r\n${SMUGGLED}`,
    REACHED,
  ),
  framed('length and coding', ['Content-Length: 4', CHUNKED], `0\r\n\r\n${SMUGGLED}`, REACHED),
  framed('coding and length', [CHUNKED, 'Content-Length: 200'], `0\r\n\r\n${SMUGGLED}`, REACHED),
  framed('two codings', [CHUNKED, 'Transfer-Encoding: identity'], `0\r\n\r\n${SMUGGLED}`, null),
  framed('a chunk size with 0x', [CHUNKED], `0x0\r\n\r\n${SMUGGLED}`, REACHED),
  framed('a chunk size over 64 bits', [CHUNKED], `10000000000000000\r\n\r\n${SMUGGLED}`, REACHED),
  framed('a negative chunk size', [CHUNKED], `-1\r\n\r\n${SMUGGLED}`, REACHED),
  framed('a chunk without its end', [CHUNKED], `1\r\nab0\r\n\r\n${SMUGGLED}`, REACHED),
  framed(
    'a long chunk extension',
    [CHUNKED],
    `0;${'x'.repeat(20_000)}\r\n\r\n${SMUGGLED}`,
    REACHED,
  ),
  framed('a chunk that ends with LF', [CHUNKED], `1;a\nb\r\n0\r\n\r\n${SMUGGLED}`, REACHED),
  {
    ...{ name: 'a GET with a request as its body', backend: REACHED },
    bytes: request('/public', HOST, 'GET', `Content-Length: ${SMUGGLED.length}`) + SMUGGLED,
  },
];

const head = (name: string, line: string, backend: string | null): Probe => ({
  ...{ name, backend },
  bytes: request('/public', HOST, 'GET', line),
});

const HEADERS: Probe[] = [
  head('a bare CR in a value', 'X-A: b\rX-Probe: 0', null),
  head('a bare LF ends a line', 'X-A: b\nX-B: c', REACHED),
  head('NUL in a value', 'X-A: b\0c', null),
  head('NUL in a name', 'X-\0A: b', null),
  head('a folded line', `X-A: b\r\n c`, REACHED),
  head('a line without a colon', 'nothing', null),
  head('an empty name', ': b', null),
  head('a space in a name', 'X A: b', null),
  head('300 headers', Array.from({ length: 300 }, (_, i) => `X-${i}: a`).join('\r\n'), null),
  head('a header of 64 KiB', `X-A: ${'a'.repeat(65_536)}`, null),
  head('20,000 headers', Array.from({ length: 20_000 }, () => 'A: a').join('\r\n'), null),
  head('an upgrade to h2c', 'Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__', REACHED),
  { name: 'two requests in a row', backend: REACHED, count: 2, bytes: `${SMUGGLED}${SMUGGLED}` },
  { name: 'HTTP/0.9', backend: null, bytes: 'GET /public\r\n' },
  { name: 'HTTP/9.9', backend: REACHED, bytes: request('/public').replace('1.1', '9.9') },
  { name: 'no HTTP', backend: null, bytes: `\x16\x03\x01${'a'.repeat(300)}\r\n\r\n` },
  { name: 'CONNECT', backend: null, bytes: request('guarded.test:80', HOST, 'CONNECT') },
  { name: 'a method with a slash', backend: null, bytes: request('/public', HOST, 'GE/T') },
];

const NO_HOST = (version: string) => LINES(`GET /public HTTP/${version}`, 'X-Probe: ####', '');
const HOSTS: Probe[] = [
  ...['guarded.test@evil.test', 'guarded.test/', 'guarded.test#', 'a b'].map((host) => ({
    name: `Host: ${host}`,
    backend: null,
    bytes: request('/public', host),
  })),
  { name: 'a host with NUL', backend: null, bytes: request('/public', `${HOST}\0.evil.test`) },
  { name: 'no host', backend: null, bytes: NO_HOST('1.1') },
  { name: 'no host, HTTP/1.0', backend: null, bytes: NO_HOST('1.0') },
  { name: 'two hosts', backend: null, bytes: request('/public', HOST, 'GET', 'Host: plain.test') },
  {
    ...{ name: 'a target with another host', backend: null },
    bytes: request('http://unknown.test/public'),
  },
  {
    ...{ name: 'a target with the host, and another host', backend: null },
    bytes: request(`http://${HOST}/public`, 'unknown.test'),
  },
  { name: 'a target with its host', backend: REACHED, bytes: request(`http://${HOST}/public`) },
  {
    ...{ name: 'a target with its host and a hidden path', backend: null },
    bytes: request(`http://${HOST}/private`),
  },
  { name: 'a target of another scheme', backend: null, bytes: request(`ftp://${HOST}/private`) },
  {
    name: 'a server name of another host',
    tls: { servername: 'tls.test', alpn: 'http/1.1' },
    ...{ backend: REACHED, bytes: request('/public') },
  },
  {
    name: 'a server name that is allowed, and a host that is not',
    tls: { servername: HOST, alpn: 'http/1.1' },
    ...{ backend: null, bytes: request('/public', 'unknown.test') },
  },
];

/** Paths that some servers read as /private. */
const HIDDEN = [
  ...['/private', '/private/', '//private', '/./private', '/.//private', '/%70rivate'],
  ...['/public/../private', '/public/..%2fprivate', '/public/..%2Fprivate'],
  ...['/public/%2e%2e/private', '/public/%2E%2e%2fprivate', '/public/.%2e/private'],
  ...[
    '/public/..;/private',
    '/public/..;a=b/private',
    '/public/..\\private',
    '/public\\..\\private',
  ],
  ...[
    '/public/%5c..%5cprivate',
    '/public/..%5cprivate',
    '/public/./../private',
    '/public//../private',
  ],
  ...[
    '/public/\0/../private',
    '/public/%00/../../private',
    '/private%00',
    '/private%0a',
    '/%2fprivate',
  ],
  ...['/%2e/private', '/a/../private', '/../private', '/public/a/../../private', '/%2e%2e/private'],
  ...[
    '/public/%zz/../private',
    '/public/..',
    '/public/../',
    '/public/%2e%2e',
    '/private;a',
    '/private?/public',
  ],
  ...[
    'private',
    '*',
    '',
    '/private#/public',
    '/public#/../private',
    '/public\t/private',
    '\\private',
  ],
].map((path) => ({ name: `path ${JSON.stringify(path)}`, backend: null, bytes: request(path) }));

/** Paths that no server reads as anything else. */
const SHOWN = [
  '/public',
  '/public/',
  '/public/a.b/..c',
  '/public/%C3%A9',
  '/public?/../private',
].map((path) => ({ name: `path ${path}`, backend: REACHED, bytes: request(path) }));

const TLS = { servername: HOST, alpn: 'h2' };
const FIELDS: Field[] = [
  [':method', 'GET'],
  [':scheme', 'https'],
  [':authority', HOST],
  [':path', '/public'],
  ['x-probe', '####'],
];

/** The fields with others in place of those of the same name. */
function fields(...changes: Field[]): Field[] {
  const names = new Set(changes.map(([name]) => name));
  const kept = FIELDS.filter(([name]) => !names.has(name));
  const isPseudo = ([name]: Field) => name.startsWith(':');
  const all = [...kept, ...changes];
  return [...all.filter(isPseudo), ...all.filter((field) => !isPseudo(field))];
}

function h2(name: string, changes: Field[], backend: string | null, body = ''): Probe {
  return {
    ...{ name: `HTTP/2, ${name}`, backend, tls: TLS },
    bytes: h2Request(fields(...changes), body),
  };
}

const HTTP2: Probe[] = [
  h2('a plain request', [], REACHED),
  h2('a hidden path', [[':path', '/private']], null),
  h2('dots in the path', [[':path', '/public/../private']], null),
  h2('a path without a slash', [[':path', 'private']], null),
  h2('a line break in the path', [[':path', `/public HTTP/1.1\r\nX-Probe: ####\r\n\r\n`]], null),
  h2('a space in the path', [[':path', '/public /private']], null),
  h2('a line break in a value', [['x-a', `b\r\n\r\n${SMUGGLED}`]], null),
  h2('a line break in a name', [['x-a\r\nx-b', 'b']], null),
  h2('a colon in a name', [['x-a: b', 'c']], null),
  h2('capitals in a name', [['X-A', 'b']], null),
  h2('transfer-encoding', [['transfer-encoding', 'chunked']], null, `0\r\n\r\n${SMUGGLED}`),
  h2(
    'a length below its body',
    [
      ['content-length', '1'],
      [':method', 'POST'],
    ],
    REACHED,
    SMUGGLED,
  ),
  h2(
    'two lengths',
    [
      ['content-length', '0'],
      ['content-length', '60'],
    ],
    null,
    SMUGGLED,
  ),
  h2('a host that is not the authority', [['host', 'unknown.test']], REACHED),
  h2(
    'two paths',
    [
      [':path', '/public'],
      [':path', '/private'],
    ],
    null,
  ),
  h2(
    'a method with a line break',
    [[':method', `GET /public HTTP/1.1\r\nX-Probe: ####\r\n\r\nGET`]],
    null,
  ),
  h2('an authority with a path', [[':authority', `${HOST}/private`]], null),
];

export const PROBES: Probe[] = [...FRAMING, ...HEADERS, ...HOSTS, ...HIDDEN, ...SHOWN, ...HTTP2];

/** What is wrong with the requests of a probe that backends saw. Null if nothing is. */
export function faultOf({ backend, count }: Probe, seen: Seen[]): string | null {
  const most = count ?? (backend === null ? 0 : 1);
  if (seen.length > most) return `${seen.length} requests, at most ${most} expected`;
  const other = seen.find((request) => request.backend !== backend);
  if (other) return `${other.backend} got ${other.path}`;
  const isSmuggled = ({ path }: Seen) => path.includes('smuggled');
  if (count === undefined && seen.some(isSmuggled)) return 'a request was smuggled';
  const hidden = seen.find(({ path }) => !plainPath(path).startsWith('/public'));
  return hidden ? `${hidden.path} got through` : null;
}

/** A path as careless servers read it. */
function plainPath(target: string): string {
  const own = target.replace(/^[a-z]+:\/\/[^/]*/, '');
  const path = own
    .split(/[?#]/)[0]!
    .replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  const kept: string[] = [];
  for (const part of path.replaceAll('\\', '/').split('/')) {
    const plain = part.split(';')[0]!;
    if (plain === '..') kept.pop();
    else if (plain !== '' && plain !== '.') kept.push(plain);
  }
  return `/${kept.join('/')}`;
}
