// The files of HAProxy for a plan. Pure.
import {
  type Backend,
  type Certificate,
  NOT_FOUND,
  type Plan,
  type Route,
  type Server,
  UNAVAILABLE,
} from './model.ts';

/**
 * Values of cookies are made of this, the address and the port of a server, so that all HAProxy
 * processes set the same ones.
 */
export const COOKIE_KEY = 'kubetun';

export interface ConfigOptions {
  /** Folder of the files. */
  folder: string;
  /** Runtime socket. */
  socket: string;
  /** Addresses to listen on, such as `:80`. */
  http: string;
  https: string;
  metrics: string;
  /** `ADDRESS:PORT` of the DNS server for ExternalName Services. */
  nameserver: string;
}

export const CONFIG_DEFAULTS: ConfigOptions = {
  folder: '/run/ingress/current',
  socket: '/run/ingress/admin.sock',
  http: ':80',
  https: ':443',
  metrics: ':8404',
  nameserver: '10.96.0.10:53',
};

/** Names in the folder. */
export const FILES = {
  config: 'haproxy.cfg',
  routes: 'routes.map',
  certificates: 'crt-list.txt',
  /** Needed by HAProxy to start: of the default Secret, or else made by the caller. */
  defaultCertificate: 'certs/default.pem',
};

export interface HaproxyFiles {
  /** haproxy.cfg. */
  config: string;
  /** routes.map: lines of key and backend. One map, so one commit changes all routes at once. */
  routes: string;
  /** crt-list.txt: lines of a certificate's path and its SNI names. */
  crtList: string;
  /** Name in the folder and content, without a default certificate if the plan has none. */
  certificates: { name: string; pem: string }[];
}

export function renderHaproxy(plan: Plan, options: ConfigOptions = CONFIG_DEFAULTS): HaproxyFiles {
  const head = [...globalLines(options), ...frontendLines(options), ...STATIC_BACKENDS];
  const { folder } = options;
  const files = plan.certificates.map((certificate) => ({
    name: certificateFile(certificate),
    pem: certificate.pem,
  }));
  const standard = plan.certificates.find(({ isDefault }) => isDefault);
  if (standard) files.unshift({ name: FILES.defaultCertificate, pem: standard.pem });
  const sections = plan.backends.flatMap((backend) => [
    ...backendLines(backend),
    ...backend.servers.map((server) => `  server ${serverLine(backend, server)}`),
  ]);
  return {
    config: `${[...head, ...sections].join('\n')}\n`,
    routes: plan.routes.map((route) => `${routeKey(route)} ${route.backend}\n`).join(''),
    crtList: crtList(plan.certificates, folder),
    certificates: files,
  };
}

/**
 * The key of a route. The key of an Exact route is equal to that of a request, the key of a Prefix
 * route is the begin of it, up to a slash. A key has no space, which would end it.
 */
function routeKey({ type, host, path }: Route): string {
  const text = path.replaceAll('%', '%25').replaceAll(' ', '%20');
  if (type === 'Exact') return `exact:${host}${text}`;
  return `prefix:${host}${text}${text.endsWith('/') ? '' : '/'}`;
}

/**
 * Name, address and options of a server. `add server BACKEND/` at run time takes the same text. It
 * ignores default-server, so every option is here.
 */
function serverLine({ protocol, isExternal }: Backend, server: Server): string {
  const h2 = protocol === 'h2c' ? ' proto h2' : '';
  const dns = isExternal ? ' resolvers cluster resolve-prefer ipv4 init-addr none' : '';
  return `${server.name} ${server.address}:${server.port}${h2}${dns}`;
}

/** The name of a certificate in the folder. */
function certificateFile({ secret }: Certificate): string {
  return `certs/${secret.replace('/', '_')}.pem`;
}

/** HAProxy serves the first one to clients without SNI. Those with names come before others. */
function crtList(certificates: readonly Certificate[], folder: string): string {
  const lines = certificates
    .filter(({ hosts, isDefault }) => hosts.length > 0 || !isDefault)
    .sort((a, b) => Number(a.hosts.length === 0) - Number(b.hosts.length === 0))
    .flatMap((certificate) => {
      const path = `${folder}/${certificateFile(certificate)}`;
      return certificate.hosts.length > 0
        ? certificate.hosts.map((host) => `${path} ${host}`)
        : [path];
    });
  return `${[`${folder}/${FILES.defaultCertificate}`, ...lines].join('\n')}\n`;
}

function globalLines({ socket, nameserver }: ConfigOptions): string[] {
  return [
    'global',
    '  log stdout format raw local0 info',
    `  stats socket ${socket} mode 600 level admin`,
    '  maxconn 8192',
    // Streams of a process that was replaced end after this.
    '  hard-stop-after 30m',
    '  ssl-default-bind-options ssl-min-ver TLSv1.2',
    'defaults',
    '  mode http',
    '  log global',
    '  option dontlognull',
    // A reload ends no idle connection at the moment of a request: the next answer ends it.
    '  option idle-close-on-response',
    '  option redispatch 1',
    '  retries 3',
    '  retry-on conn-failure empty-response',
    '  balance roundrobin',
    '  timeout http-request 5s',
    '  timeout http-keep-alive 1m',
    '  timeout client 50s',
    '  timeout connect 5s',
    '  timeout queue 5s',
    '  timeout server 50s',
    '  timeout tunnel 1h',
    'resolvers cluster',
    `  nameserver dns ${nameserver}`,
    '  accepted_payload_size 4096',
    '  hold valid 5s',
  ];
}

const IS_NEW = 'if !{ var(txn.backend) -m found }';

function frontendLines({ folder, http, https, metrics }: ConfigOptions): string[] {
  const map = `${folder}/${FILES.routes}`;
  const deny = 'http-request deny deny_status';
  const lookUp = [
    `http-request set-var(txn.backend) str(exact:),concat(,txn.key),map_str(${map}) ${IS_NEW}`,
    `http-request set-var(txn.backend) str(prefix:),concat(,txn.key,/),map_beg(${map}) ${IS_NEW}`,
  ];
  const lines = [
    'option httplog',
    `bind ${http}`,
    `bind ${https} ssl crt-list ${folder}/${FILES.certificates} alpn h2,http/1.1`,
    `${deny} 405 if METH_CONNECT`,
    'http-request disable-l7-retry if !METH_GET !METH_HEAD !METH_OPTIONS',
    // The host without port and without the dot at the end of a full name.
    'http-request set-var(txn.host) req.hdr(host),host_only,lower',
    `http-request set-var(txn.host) var(txn.host),regsub('\\.$','') if { var(txn.host) -m end . }`,
    `${deny} 400 if !{ var(txn.host),length 0 } !{ var(txn.host) -m reg '${HOST_ALLOWED}' }`,
    // The path as a server sees it. What servers see in different ways is refused.
    'acl encoded path -m sub %',
    `${deny} 400 if encoded { path -m reg -i '%(2f|5c|[01][0-9a-f]|7f)' }`,
    'http-request set-var(txn.path) path if !encoded',
    `http-request set-var(txn.path) path,url_dec,${ENCODE} if encoded`,
    `${deny} 400 if !{ var(txn.path) -m beg / }`,
    `${deny} 400 if { var(txn.path) -m sub // /./ /../ '/.;' '/..;' '\\' }`,
    `${deny} 400 if { var(txn.path) -m end /. /.. }`,
    // The host itself, then with * for its first label, then any host.
    'http-request set-var(txn.key) var(txn.host),concat(,txn.path)',
    ...lookUp,
    `http-request set-var(txn.key) var(txn.host),regsub('^[^.]+','*'),concat(,txn.path) ${IS_NEW}`,
    ...lookUp,
    `http-request set-var(txn.key) str(*),concat(,txn.path) ${IS_NEW}`,
    ...lookUp,
    // What clients say about themselves is replaced.
    'http-request del-header Forwarded',
    'http-request set-header X-Forwarded-For %[src]',
    'http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]',
    'http-request set-header X-Forwarded-Host %[req.hdr(host)]',
    'use_backend %[var(txn.backend)]',
    `default_backend ${UNAVAILABLE}`,
  ];
  return [
    'frontend ingress',
    ...lines.map((line) => `  ${line}`),
    'frontend metrics',
    `  bind ${metrics}`,
    '  no log',
    '  http-request use-service prometheus-exporter if { path /metrics }',
    '  http-request return status 200 if { path /healthz }',
    '  http-request deny deny_status 404',
  ];
}

/** What would end a key, as {@link routeKey} writes it. */
const ENCODE = "regsub('%','%25',g),regsub(' ','%20',g)";
const HOST_ALLOWED = '^([a-z0-9._-]+|\\[[0-9a-f:.]+\\])$';

const STATIC_BACKENDS = [
  `backend ${NOT_FOUND}`,
  `  ${answer(404, 'no rule matches')}`,
  `backend ${UNAVAILABLE}`,
  `  ${answer(503, 'no such Service')}`,
];

function answer(status: number, text: string): string {
  return `http-request return status ${status} content-type text/plain string "${text}\\n"`;
}

/** HAProxy reads at most 64 words in a line. */
const RANGES_PER_LINE = 50;

function backendLines({ id, ...settings }: Backend): string[] {
  const { redirectCode, allowed, cookie, timeoutServer, timeoutTunnel, bodyBytesMax } = settings;
  const lines: string[] = [];
  if (allowed !== null) {
    for (let i = 0; i < allowed.length; i += RANGES_PER_LINE) {
      lines.push(`acl allowed src ${allowed.slice(i, i + RANGES_PER_LINE).join(' ')}`);
    }
    const unless = allowed.length > 0 ? ' if !allowed' : '';
    lines.push(`http-request deny deny_status 403${unless}`);
  }
  if (redirectCode !== null) {
    const to = 'https://%[var(txn.host)]%[pathq]';
    const when = 'if !{ ssl_fc } { var(txn.host) -m found }';
    lines.push(`http-request redirect location ${to} code ${redirectCode} ${when}`);
  }
  if (bodyBytesMax !== null) {
    // A body without a length cannot be compared before it is sent on.
    const refusal = answer(411, 'a Content-Length is needed');
    lines.push(`${refusal} if { req.hdr(transfer-encoding) -m found }`);
    lines.push(`http-request deny deny_status 413 if { req.body_size gt ${bodyBytesMax} }`);
  }
  if (cookie !== null) {
    lines.push(`cookie ${cookie} insert indirect nocache dynamic httponly`);
    lines.push(`dynamic-cookie-key ${COOKIE_KEY}`);
  }
  if (timeoutServer !== null) lines.push(`timeout server ${timeoutServer}`);
  if (timeoutTunnel !== null) lines.push(`timeout tunnel ${timeoutTunnel}`);
  return [`backend ${id}`, ...lines.map((line) => `  ${line}`)];
}
