// The table of rules: a request, and the Service that serves it or the status of HAProxy's own
// answer. Unit tests ask it of matchRequest and of HAProxy on loopback, the end-to-end test with
// curl through a load balancer. The scenarios of the upstream conformance features are among them.
import { CLASS, ingress, service } from './world.ts';

/** A URL as it is sent, and the Service, or a status. */
export type Row = [url: string, expected: string | number, row?: Extra];

export interface Extra {
  /** The Host header, if it is not that of the URL. */
  host?: string;
  method?: string;
}

/** Services with a ready endpoint. Each has port 80, `http`. */
export const SERVICES = [
  ...['root', 'wildcard', 'any', 'exact', 'prefix', 'aaa', 'aaa-bbb', 'named', 'impl', 'older'],
  ...['newer', 'rest', 'own-rest', 'spaces', 'deep'],
];
/** A Service whose only endpoint is not ready. */
export const SERVICE_EMPTY = 'empty';

export const INGRESSES = [
  ingress({
    name: 'hosts',
    rules: [
      '*.foo.com / * wildcard:80',
      'foo.bar.com / * root:http',
      'deep.foo.com /only * deep:80',
      'CAPS.example / * named:http',
      '*.bar.com /wild * wildcard:80',
    ],
  }),
  ingress({
    name: 'paths',
    rules: [
      'exact.test /foo = exact:80',
      'prefix.test /foo * prefix:80',
      'prefix.test /aaa/bbb * aaa-bbb:80',
      'prefix.test /aaa * aaa:80',
      'mixed.test /foo * prefix:80',
      'mixed.test /foo = exact:80',
      'slash.test /aaa/bbb/ * aaa-bbb:80',
      'slash.test /foo/ = exact:80',
      'impl.test /foo ? impl:80',
      'root.test / * root:80',
      'root.test /foo * prefix:80',
      'root.test / = exact:80',
      'code.test /a%20b * spaces:80',
      'code.test /%7Euser = named:80',
      'code.test /caf%C3%A9 * named:80',
      'code.test /a@b * named:80',
      'code.test /100%25 = named:80',
    ],
  }),
  ingress({
    name: 'conflicts',
    rules: ['twice.test /foo * older:80', 'twice.test /older * older:80'],
  }),
  ingress({
    name: 'conflicts-late',
    rules: ['twice.test /foo/ * newer:80', 'twice.test /newer * newer:80'],
    age: 10,
  }),
  ingress({
    name: 'faults',
    rules: [
      'fault.test /empty * empty:80',
      'fault.test /absent * absent:80',
      'fault.test /port * root:81',
      'fault.test /name * root:https',
      'fault.test / * root:80',
    ],
  }),
  ingress({ name: 'any-host', rules: ['- /anywhere * any:80', '- /exactly = any:80'] }),
  ingress({ name: 'foreign', rules: ['foreign.test / * root:80'], className: 'nginx' }),
  ingress({ name: 'classless', rules: ['classless.test / * root:80'], className: null }),
  ingress({
    name: 'annotated',
    rules: ['annotated.test / * root:80'],
    className: null,
    annotations: { 'kubernetes.io/ingress.class': 'haproxy' },
  }),
];

/** Added for DEFAULT_ROWS: they serve what is 404 without them. */
export const DEFAULT_INGRESSES = [
  ingress({
    name: 'own-default',
    rules: ['own.test /foo * prefix:80', 'bare.test -'],
    defaultBackend: 'own-rest:80',
  }),
  ingress({ name: 'rest', defaultBackend: 'rest:80', age: 5 }),
];

export const OBJECTS = [
  CLASS,
  ...INGRESSES,
  ...SERVICES.flatMap((name, i) => service(name, [`10.244.1.${i + 10}`])),
  ...service(SERVICE_EMPTY, ['!10.244.1.9']),
];

const HOSTS: Row[] = [
  ['http://foo.bar.com/', 'root'],
  ['http://foo.bar.com/sub/path?q=1', 'root'],
  ['http://FOO.Bar.COM/', 'root'],
  ['http://foo.bar.com:80/', 'root', { host: 'foo.bar.com:80' }],
  ['http://foo.bar.com/', 'root', { host: 'foo.bar.com:8080' }],
  ['http://foo.bar.com/', 'root', { host: 'foo.bar.com.' }],
  ['http://foo.bar.com/', 'root', { host: 'foo.bar.com.:80' }],
  ['http://caps.example/', 'named'],
  ['http://subdomain.bar.com/', 404],
  ['http://subdomain.bar.com/wild', 'wildcard'],
  ['http://bar.foo.com/', 'wildcard'],
  ['http://baz.bar.foo.com/', 404],
  ['http://foo.com/', 404],
  ['http://.foo.com/', 404, { host: '.foo.com' }],
  ['http://xfoo.com/', 404],
  // An exact host hides the wildcard, also for paths that it has no rule for.
  ['http://deep.foo.com/only', 'deep'],
  ['http://deep.foo.com/', 404],
  ['http://foo.bar.com/wild', 'root'],
  ['http://deep.foo.com/anywhere', 404],
  ['http://unknown.test/anywhere', 'any'],
  ['http://unknown.test/anywhere/deeper', 'any'],
  ['http://unknown.test/exactly', 'any'],
  ['http://unknown.test/exactly/', 404],
  ['http://10.0.0.1/anywhere', 'any', { host: '10.0.0.1' }],
  ['http://[2001:db8::1]/anywhere', 'any', { host: '[2001:db8::1]:80' }],
  ['http://foo.bar.com/x', 400, { host: 'foo.bar.com/x' }],
  ['http://foo.bar.com/', 400, { host: 'user@foo.bar.com' }],
  ['http://foreign.test/', 404],
  ['http://classless.test/', 404],
  ['http://annotated.test/', 'root'],
];

const PATHS: Row[] = [
  ['http://exact.test/foo', 'exact'],
  ['http://exact.test/foo?x=/bar', 'exact'],
  ['http://exact.test/foo/', 404],
  ['http://exact.test/FOO', 404],
  ['http://exact.test/bar', 404],
  ['http://prefix.test/foo', 'prefix'],
  ['http://prefix.test/foo/', 'prefix'],
  ['http://prefix.test/foo/bar', 'prefix'],
  ['http://prefix.test/FOO', 404],
  ['http://prefix.test/foobar', 404],
  ['http://prefix.test/aaa/bbb', 'aaa-bbb'],
  ['http://prefix.test/aaa/bbb/ccc', 'aaa-bbb'],
  ['http://prefix.test/aaa/bbbc', 'aaa'],
  ['http://prefix.test/aaa/ccc', 'aaa'],
  ['http://prefix.test/aaaccc', 404],
  ['http://prefix.test/', 404],
  ['http://mixed.test/foo', 'exact'],
  ['http://mixed.test/foo/', 'prefix'],
  ['http://slash.test/aaa/bbb', 'aaa-bbb'],
  ['http://slash.test/aaa/bbb/', 'aaa-bbb'],
  ['http://slash.test/aaa/bbbx', 404],
  ['http://slash.test/foo', 404],
  ['http://slash.test/foo/', 'exact'],
  ['http://impl.test/foo/bar', 'impl'],
  ['http://impl.test/foobar', 404],
  ['http://root.test/', 'exact'],
  ['http://root.test/other', 'root'],
  ['http://root.test/foo', 'prefix'],
  ['http://root.test/foo', 'prefix', { method: 'POST' }],
  ['http://root.test/foo', 'prefix', { method: 'DELETE' }],
];

/** Different spellings of a path, and those that servers read in different ways. */
const SPELLINGS: Row[] = [
  ['http://root.test/%66oo', 'prefix'],
  ['http://root.test/%66%6F%6f/bar', 'prefix'],
  ['http://root.test/f%6fobar', 'root'],
  ['http://code.test/a%20b', 'spaces'],
  ['http://code.test/a%20b/c', 'spaces'],
  ['http://code.test/a%2520b', 404],
  ['http://code.test/a+b', 404],
  ['http://code.test/~user', 'named'],
  ['http://code.test/caf%c3%a9/x', 'named'],
  ['http://code.test/a%40b', 'named'],
  ['http://code.test/100%25', 'named'],
  ['http://code.test/100%2525', 404],
  ['http://root.test/foo/../other', 400],
  ['http://root.test/foo/..%2fother', 400],
  ['http://root.test/foo/%2e%2e/other', 400],
  ['http://root.test/other/.%2E/foo', 400],
  ['http://root.test/./foo', 400],
  ['http://root.test/foo/.', 400],
  ['http://root.test/foo/..', 400],
  ['http://root.test//foo', 400],
  ['http://root.test/other//foo', 400],
  ['http://root.test/other/..;/foo', 400],
  ['http://root.test/other/..;x=1/foo', 400],
  ['http://root.test/other%5c..%5cfoo', 400],
  ['http://root.test/other\\..\\foo', 400],
  ['http://root.test/foo%00', 400],
  ['http://root.test/foo%0d%0aX:1', 400],
  ['http://root.test/foo%zz', 400],
  ['http://root.test/foo%2', 400],
  ['http://root.test/.hidden/..x/x..', 'root'],
  ['http://root.test/foo/..?x', 400],
  ['http://root.test/other?/../foo', 'root'],
];

const REST: Row[] = [
  ['http://twice.test/foo', 'older'],
  ['http://twice.test/older', 'older'],
  ['http://twice.test/newer', 'newer'],
  ['http://fault.test/empty', 503],
  ['http://fault.test/absent', 503],
  ['http://fault.test/port', 503],
  ['http://fault.test/name', 503],
  ['http://fault.test/', 'root'],
];

export const ROWS: Row[] = [...HOSTS, ...PATHS, ...SPELLINGS, ...REST];

/** With DEFAULT_INGRESSES. */
export const DEFAULT_ROWS: Row[] = [
  ['http://own.test/foo', 'prefix'],
  ['http://own.test/', 'own-rest'],
  ['http://own.test/foobar', 'own-rest'],
  ['http://bare.test/', 'own-rest'],
  ['http://bare.test/sub-path', 'own-rest', { method: 'PATCH' }],
  ['http://unknown.test/', 'rest'],
  ['http://unknown.test/sub-path', 'rest', { method: 'POST' }],
  ['http://unknown.test/anywhere', 'any'],
  ['http://exact.test/bar', 'rest'],
  ['http://foo.com/', 'rest'],
  ['http://foreign.test/', 'rest', { method: 'PUT' }],
];
