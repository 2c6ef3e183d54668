// The built-in image agnhost: the subcommands of upstream's program that tutorials and tests use.
// Source: kubernetes/kubernetes test/images/agnhost.
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { argv } from 'node:process';
import { connectOnce } from './connect.ts';
import { makeHealthServer } from './grpc-health.ts';
import { listen, netexec, pause, serveText } from './netexec.ts';
import { readOptions, readPort, refuse } from './options.ts';

/** After this time `liveness` answers with an error. */
const LIVE_MS = 10_000;

const COMMANDS: Record<string, (args: string[]) => void> = {
  connect: connectOnce,
  'dns-server-list': () => printResolver('nameserver'),
  'dns-suffix': () => printResolver('search'),
  'entrypoint-tester': (args) => console.log(JSON.stringify(['/agnhost', ...args])),
  'etc-hosts': () => console.log(readFileSync('/etc/hosts', 'utf8').trimEnd()),
  'grpc-health-checking': serveHealth,
  liveness,
  netexec,
  pause,
  porter,
  'serve-hostname': serveHostname,
  'test-webserver': testWebserver,
};

function main([command = 'pause', ...args]: string[]): void {
  if (Object.hasOwn(COMMANDS, command)) return COMMANDS[command]!(args);
  const known = Object.keys(COMMANDS).join(', ');
  refuse(`agnhost of the lab has no command ${command}: use one of ${known}`);
}

/** The first value of a line of /etc/resolv.conf, or all of them for name servers. */
function printResolver(keyword: string): void {
  const lines = readFileSync('/etc/resolv.conf', 'utf8').split('\n');
  const values = lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([word]) => word === keyword)
    .flatMap(([, ...rest]) => rest);
  console.log(values.join(','));
}

/** A gRPC health server. HTTP requests switch its status. */
function serveHealth(args: string[]): void {
  const { options } = readOptions(args, {
    ...{ port: '5000', 'http-port': '8080', 'delay-unhealthy-sec': '-1', service: '' },
  });
  let serving = true;
  const delayS = Number(options['delay-unhealthy-sec']);
  if (delayS >= 0) {
    setTimeout(() => {
      serving = false;
    }, delayS * 1000);
  }
  makeHealthServer(() => serving).listen(readPort('port', options.port), '0.0.0.0');
  listen(readPort('http-port', options['http-port']), ({ url }, response) => {
    if (url === '/make-serving') serving = true;
    else if (url === '/make-not-serving') serving = false;
    else response.statusCode = 404;
    response.end();
  });
}

/** Healthy for ten seconds, then not: the example of liveness probes. */
function liveness(args: string[]): void {
  const { options } = readOptions(args, { port: '8080' });
  const startMs = Date.now();
  listen(readPort('port', options.port), (request, response) => {
    const ms = Date.now() - startMs;
    if (request.url !== '/healthz') return void response.end(`${ms / 1000}s`);
    if (ms <= LIVE_MS) return void response.end('ok');
    response.statusCode = 500;
    response.end(`error: ${ms / 1000}`);
  });
}

/** `SERVE_PORT_80=text` serves the text on port 80. */
function porter(): void {
  for (const [name, text = ''] of Object.entries(process.env)) {
    const port = /^SERVE_PORT_(\d+)$/.exec(name)?.[1];
    if (port) listen(readPort(name, port), (_request, response) => void response.end(text));
  }
}

function serveHostname(args: string[]): void {
  const { options } = readOptions(args, {
    ...{ port: '9376', http: true, tcp: false, udp: false, close: false },
  });
  const port = readPort('port', options.port);
  if (options.tcp || options.udp) return serveText(port, `${hostname()}\n`, options);
  listen(port, (_request, response) => {
    if (options.close) response.setHeader('connection', 'close');
    response.end(hostname());
  });
}

function testWebserver(args: string[]): void {
  const { options } = readOptions(args, { port: '80' });
  listen(readPort('port', options.port), (_request, response) => void response.end('Hello\n'));
}

if (import.meta.main) main(argv.slice(2));
