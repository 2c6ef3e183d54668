// The built-in stand-ins for images that tutorials use: web servers and echo servers.
import { existsSync, readFileSync, statSync } from 'node:fs';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { hostname, networkInterfaces } from 'node:os';
import { extname, join } from 'node:path';
import { argv, env } from 'node:process';
import { listen } from './netexec.ts';
import { readOptions, readPort, refuse } from './options.ts';

type Sample = (args: string[]) => void;

const SAMPLES: Record<string, Sample> = {
  echo: always('8080', echoText),
  'hello-app': (args) => {
    const { options } = readOptions(args, { version: '1.0' });
    const version = `Version: ${options.version}.0`;
    serve(portOf('8080'), () => `Hello, world!\n${version}\nHostname: ${hostname()}\n`);
  },
  'hello-nginx': always('80', helloNginx),
  'hpa-example': always('80', () => 'OK!'),
  'http-echo': httpEcho,
  httpd: serveHttpd,
  'httpd-foreground': serveHttpd,
  'kubernetes-bootcamp': (args) => {
    const { options } = readOptions(args, { version: '1' });
    const version = `v=${options.version}`;
    const where = `Running on: ${hostname()}`;
    serve(portOf('8080'), () => `Hello Kubernetes bootcamp! | ${where} | ${version}\n`);
  },
  nginx: (args) => serveFiles(args, '/usr/share/nginx/html', 'Welcome to nginx!'),
  'node-hello': always('8080', () => 'Hello Kubernetes!'),
  whoami,
};

function main([name = '', ...args]: string[]): void {
  if (Object.hasOwn(SAMPLES, name)) return SAMPLES[name]!(args);
  refuse(`the lab has no program ${name}: use one of ${Object.keys(SAMPLES).join(', ')}`);
}

function always(port: string, text: (request: IncomingMessage) => string): Sample {
  return () => serve(portOf(port), text);
}

/** The variable PORT, as most of these images read it. */
function portOf(usual: string): number {
  return readPort('PORT', env.PORT || usual);
}

function serve(port: number, text: (request: IncomingMessage) => string, code = 200): void {
  listen(port, (request, response) => {
    response.writeHead(code, { 'content-type': 'text/plain; charset=utf-8' });
    response.end(text(request));
    logRequest(request, code);
  });
}

/** hashicorp/http-echo. */
function httpEcho(args: string[]): void {
  const { options } = readOptions(args, {
    ...{ listen: ':5678', text: env.ECHO_TEXT ?? 'hello-world', 'status-code': '200' },
  });
  const port = readPort('listen', options.listen.split(':').at(-1)!);
  serve(port, () => `${options.text}\n`, Number(options['status-code']));
}

/** traefik/whoami. */
function whoami(args: string[]): void {
  const { options } = readOptions(args, {
    ...{ port: env.WHOAMI_PORT_NUMBER ?? '80', name: env.WHOAMI_NAME ?? '', verbose: false },
  });
  serve(readPort('port', options.port), (request) => {
    if (request.url === '/health') return '';
    const name = options.name && [`Name: ${options.name}`];
    const own = addresses().map((address) => `IP: ${address}`);
    const lines = [`Hostname: ${hostname()}`, ...own, `RemoteAddr: ${clientOf(request)}`];
    return [...(name || []), ...lines, ...headLines(request), ''].join('\n');
  });
}

/** registry.k8s.io/echoserver, kicbase/echo-server and the like. */
function echoText(request: IncomingMessage): string {
  const served = `Request served by ${hostname()}`;
  return [served, '', `client_address=${clientOf(request)}`, ...headLines(request), ''].join('\n');
}

/** nginxdemos/hello:plain-text. */
function helloNginx(request: IncomingMessage): string {
  const { localAddress, localPort } = request.socket;
  const lines = [
    ...[`Server address: ${plain(localAddress)}:${localPort}`, `Server name: ${hostname()}`],
    ...[`Date: ${new Date().toISOString()}`, `URI: ${request.url}`, ''],
  ];
  return lines.join('\n');
}

const TYPES: Record<string, string> = {
  ...{ '.css': 'text/css', '.html': 'text/html', '.js': 'text/javascript', '.png': 'image/png' },
  ...{ '.json': 'application/json', '.svg': 'image/svg+xml', '.txt': 'text/plain' },
};

function serveHttpd(args: string[]): void {
  serveFiles(args, '/usr/local/apache2/htdocs', 'It works!');
}

/** A web server of files. Without an index file it serves the welcome page of the image. */
function serveFiles(args: string[], folder: string, welcome: string): void {
  // A user may give the image's own options, such as nginx -g 'daemon off;'.
  const { options } = readOptions(args, { port: '80', g: '' });
  const answer: RequestListener = (request, response) => {
    const code = sendFile(request, response, folder, welcome);
    logRequest(request, code);
  };
  listen(readPort('port', options.port), answer);
}

function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  folder: string,
  welcome: string,
): number {
  const path = URL.parse(request.url ?? '/', 'http://pod')?.pathname ?? '/';
  const file = fileAt(folder, path);
  if (file !== null) {
    response.setHeader('content-type', TYPES[extname(file)] ?? 'application/octet-stream');
    response.end(readFileSync(file));
    return 200;
  }
  const isHome = path === '/' && !existsSync(join(folder, 'index.html'));
  response.statusCode = isHome ? 200 : 404;
  response.setHeader('content-type', 'text/html');
  const title = isHome ? welcome : '404 Not Found';
  response.end(`<html><head><title>${title}</title></head><body><h1>${title}</h1></body></html>\n`);
  return response.statusCode;
}

/** The file of a path, or the index file of a folder. Null if there is none. */
function fileAt(folder: string, path: string): string | null {
  try {
    // URL paths have no `..` left.
    const found = join(folder, decodeURIComponent(path));
    const file = statSync(found).isDirectory() ? join(found, 'index.html') : found;
    return file.startsWith(`${folder}/`) && statSync(file).isFile() ? file : null;
  } catch {
    return null;
  }
}

function headLines({ method, url, httpVersion, rawHeaders }: IncomingMessage): string[] {
  const headers = rawHeaders.flatMap((name, i) =>
    i % 2 === 0 ? [`${name}: ${rawHeaders[i + 1]}`] : [],
  );
  return [`${method} ${url} HTTP/${httpVersion}`, ...headers];
}

function addresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return all.map(({ address }) => address);
}

function clientOf({ socket }: IncomingMessage): string {
  return `${plain(socket.remoteAddress)}:${socket.remotePort}`;
}

function plain(address = ''): string {
  return address.replace(/^::ffff:/, '');
}

/** The common log format, as nginx and httpd write it. */
function logRequest({ socket, method, url, httpVersion }: IncomingMessage, code: number): void {
  const time = new Date().toISOString();
  const line = `"${method} ${url} HTTP/${httpVersion}" ${code}`;
  console.log(`${plain(socket.remoteAddress)} - - [${time}] ${line}`);
}

if (import.meta.main) main(argv.slice(2));
