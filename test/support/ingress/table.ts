// Requests and their fates. The Ingresses of these rows are those of world.ts. `test/e2e/ingress-*`
// sends them by curl from the internet. Sources: kubernetes-sigs/ingress-controller-conformance
// features/*.feature, kubernetes/kubernetes test/e2e/network/ingress, the API's documentation.
export interface Row {
  method?: string;
  /** `Name: value`. */
  headers?: string[];
  /** HTTP/2, by ALPN or with prior knowledge. */
  http2?: boolean;
  status: number;
  /** The Service that answers. None: HAProxy itself does. */
  backend?: string;
  /** Headers that the backend saw; null: none of that name. */
  seen?: Record<string, string | null>;
  /** Host that the backend saw, if it is not the URL's. */
  host?: string;
  /** Headers of the answer; null: none of that name. */
  answer?: Record<string, string | RegExp | null>;
  /** The common name of the certificate. */
  subject?: string;
  /** The connection is verified against the certificate of this Secret. */
  secret?: string;
}
export type Line = [url: string, row: Row];

const found = (backend: string, rest: Partial<Row> = {}): Row => ({
  status: 200,
  backend,
  ...rest,
});
const ABSENT: Row = { status: 404 };
const EMPTY: Row = { status: 503 };

/** host_rules.feature: each scenario is a line. */
const hostRules: Line[] = [
  [
    'https://foo.bar.com/',
    found('foo-bar-com', { secret: 'conformance-tls', subject: 'foo.bar.com' }),
  ],
  ['http://foo.bar.com/', found('foo-bar-com')],
  ['http://subdomain.bar.com/', ABSENT],
  ['http://bar.foo.com/', found('wildcard-foo-com')],
  ['http://baz.bar.foo.com/', ABSENT],
  ['http://foo.com/', ABSENT],
];

/** path_rules.feature: each scenario is a line. */
const pathRules: Line[] = [
  ['http://exact-path-rules/foo', found('foo-exact')],
  ['http://exact-path-rules/foo/', ABSENT],
  ['http://exact-path-rules/FOO', ABSENT],
  ['http://exact-path-rules/bar', ABSENT],
  ['http://prefix-path-rules/foo', found('foo-prefix')],
  ['http://prefix-path-rules/foo/', found('foo-prefix')],
  ['http://prefix-path-rules/FOO', ABSENT],
  ['http://prefix-path-rules/aaa/bbb', found('aaa-slash-bbb-prefix')],
  ['http://prefix-path-rules/aaa/bbb/ccc', found('aaa-slash-bbb-prefix')],
  ['http://prefix-path-rules/aaa/ccc', found('aaa-prefix')],
  ['http://prefix-path-rules/aaaccc', ABSENT],
  ['http://mixed-path-rules/foo', found('foo-exact')],
  ['http://trailing-slash-path-rules/aaa/bbb', found('aaa-slash-bbb-slash-prefix')],
  ['http://trailing-slash-path-rules/aaa/bbb/', found('aaa-slash-bbb-slash-prefix')],
  ['http://trailing-slash-path-rules/foo', ABSENT],
];

/** ingress_class.feature. The test of its status stands beside the table. */
const ingressClass: Line[] = [['http://ingress-class/', ABSENT]];

const echoed = (rest: Partial<Row> = {}) =>
  found('echo-service', {
    headers: ['User-Agent: Go-http-client/1.1'],
    seen: { 'user-agent': 'Go-http-client/1.1' },
    answer: { 'content-length': /./, 'content-type': /./, date: /./ },
    ...rest,
  });

/** default_backend.feature: each example is a line. An Ingress without rules takes all the rest. */
export const DEFAULT_ROWS: Line[] = [
  ['http://my-host/', echoed()],
  ['http://my-host/sub-path', echoed()],
  ['http://some-host/', echoed({ method: 'POST' })],
  ['http://ADDRESS/resource', echoed({ method: 'PUT' })],
  ['http://some-host/resource', echoed({ method: 'DELETE' })],
  ['http://my-host/resource', echoed({ method: 'PATCH' })],
  // A host that has rules falls back as well, and rules still come first.
  ['http://exact-path-rules/bar', echoed()],
  ['http://exact-path-rules/foo', found('foo-exact')],
  ['http://baz.bar.foo.com/', echoed()],
];

/** test/e2e/network/ingress: hosts and paths of one map, a change of both, TLS for a host. */
const urlMap: Line[] = [
  ['http://plain.test/', found('plain')],
  ['http://plain.test/other', found('other')],
  ['http://plain.test/other/', found('other')],
  ['http://plain.test/others', found('plain')],
  ['http://plain.test/other/more', found('foo-exact')],
  ['http://plain.test/other/more/deep', found('foo-exact')],
  ['http://plain.test/other/mores', found('other')],
  ['http://plain.test/secret/open', found('other')],
  ['http://plain.test/secret/open/', found('secret')],
  ['http://plain.test/special', found('foo-prefix')],
  ['http://plain.test/special/deep', found('foo-prefix')],
  ['http://plain.test/specials', found('plain')],
  ['http://plain.test/other?query=/secret', found('other')],
  ['http://plain.test/?a=b&a=c', found('plain')],
  // The path is compared as the server reads it, and passed on as it came.
  ['http://plain.test/%6fther', found('other')],
];

/** Hosts: letters of any case, ports, precedence of exact, wildcard and no host. */
const hosts: Line[] = [
  ['http://exact.wide.test/only', found('plain')],
  // An exact host hides the wildcard, even where none of its paths match.
  ['http://exact.wide.test/else', ABSENT],
  ['http://x.wide.test/only', found('wide')],
  ['http://x.y.wide.test/', ABSENT],
  ['http://wide.test/', ABSENT],
  ['http://xwide.test/', ABSENT],
  ['http://plain.test/', found('plain', { headers: ['Host: PLAIN.Test'], host: 'PLAIN.Test' })],
  [
    'http://plain.test/',
    found('plain', { headers: ['Host: plain.test:80'], host: 'plain.test:80' }),
  ],
  ['http://any.host/hostless', found('hostless')],
  ['http://any.host/hostless/deep', found('hostless')],
  ['http://ADDRESS/hostless', found('hostless')],
  ['http://any.host/hostlessness', ABSENT],
  // A host with rules of its own does not get those of no host: the host is matched first.
  ['http://plain.test/hostless', found('plain')],
  ['http://ADDRESS/', ABSENT],
];

const objects: Line[] = [
  ['http://conflict.test/', found('older')],
  ['http://conflict.test/b', found('younger')],
  ['http://default-class.test/', found('plain')],
  ['http://faults.test/empty', EMPTY],
  ['http://faults.test/unknown', EMPTY],
  ['http://faults.test/port', EMPTY],
  ['http://faults.test/works', found('plain')],
];

const methods: Line[] = ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD', 'PURGE'].map(
  (method) => ['http://plain.test/other', found('other', { method })],
);

/** What annotations change. */
const annotations: Line[] = [
  [
    'http://redirect.test/a?b=c',
    { status: 301, answer: { location: 'https://redirect.test/a?b=c' } },
  ],
  ['https://redirect.test/a', found('plain')],
  ['http://allowed.test/', found('plain')],
  ['http://guarded.test/private', { status: 403 }],
  ['http://limits.test/', found('plain', { answer: { 'set-cookie': /^kept=\S+; .*path=\// } })],
  ['http://limits.test/', found('plain', { method: 'POST', headers: ['Content-Length: 0'] })],
  ['http://limits.test/', { status: 413, method: 'POST', headers: ['Content-Length: 1025'] }],
];

/** CLIENT stands for the address of curl. */
const headers: Line[] = [
  [
    'http://plain.test/other',
    found('other', {
      seen: {
        'x-forwarded-for': 'CLIENT',
        'x-forwarded-proto': 'http',
        'x-forwarded-host': 'plain.test',
      },
    }),
  ],
  [
    'https://tls.test/',
    found('secret', {
      secret: 'tls-test',
      seen: {
        'x-forwarded-for': 'CLIENT',
        'x-forwarded-proto': 'https',
        'x-forwarded-host': 'tls.test',
      },
    }),
  ],
  // A client must not choose what the backend trusts.
  [
    'http://plain.test/other',
    found('other', {
      headers: [
        'X-Forwarded-For: 10.1.2.3',
        'X-Forwarded-Proto: https',
        'X-Forwarded-Host: evil.test',
      ],
      seen: {
        'x-forwarded-for': 'CLIENT',
        'x-forwarded-proto': 'http',
        'x-forwarded-host': 'plain.test',
      },
    }),
  ],
  [
    'http://plain.test/other',
    found('other', {
      headers: ['Connection: X-Own, keep-alive', 'X-Own: 1', 'X-Mine: 2', 'Cookie: a=b'],
      seen: { 'x-mine': '2', cookie: 'a=b' },
    }),
  ],
];

const tls: Line[] = [
  ['https://tls.test/', found('secret', { secret: 'tls-test', subject: 'tls.test' })],
  ['https://also.tls.test/', found('secret', { secret: 'tls-test', subject: 'tls.test' })],
  ['https://x.tls.test/', found('wide', { secret: 'wildcard-tls-test', subject: '*.tls.test' })],
  ['https://tls.test/', found('secret', { secret: 'tls-test', http2: true })],
  ['https://x.tls.test/a/b', found('wide', { secret: 'wildcard-tls-test', http2: true })],
  ['http://tls.test/', found('secret')],
  // The rules apply to hosts without a certificate as well: they get the default certificate.
  ['https://plain.test/other', found('other')],
  ['https://missing.test/', found('plain')],
  ['https://broken.test/', found('plain')],
  ['https://unknown.test/', ABSENT],
];

const protocols: Line[] = [
  ['http://h2c.test/', found('h2c')],
  ['http://h2c.test/', found('h2c', { http2: true })],
  ['http://plain.test/', found('plain', { http2: true })],
];

export const TABLES: Record<string, Line[]> = {
  'host_rules.feature': hostRules,
  'path_rules.feature': pathRules,
  'ingress_class.feature': ingressClass,
  ...{ 'hosts and paths of several Ingresses': urlMap, hosts, objects },
  ...{ methods, annotations, headers, tls, protocols },
};
