// HAProxy on loopback with the files of a plan. Each backend gets one server, which tells its name.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CONFIG_DEFAULTS, FILES, renderHaproxy } from '../../../../control/ingress/config.ts';
import type { Plan } from '../../../../control/ingress/model.ts';

export const PROGRAM = '/usr/sbin/haproxy';
const LOOPBACK = '127.0.0.1';
const START_MS_MAX = 10_000;
const PEM = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** A self-signed certificate with its key. */
export function makePem(name: string, hosts: string[] = [name]): { crt: string; key: string } {
  const names = hosts.map((host) => `DNS:${host}`).join(',');
  const args = ['req', ...PEM, '-subj', `/CN=${name}`, '-addext', `subjectAltName=${names}`];
  const run = spawnSync('openssl', [...args, '-days', '30', '-keyout', '-', '-out', '-']);
  const text = run.stdout.toString();
  const part = (kind: string) =>
    new RegExp(`-----BEGIN ${kind}-----[\\s\\S]+?-----END ${kind}-----\n`).exec(text)?.[0] ?? '';
  return { crt: part('CERTIFICATE'), key: part('PRIVATE KEY') };
}

/** A folder with the files of HAProxy for a plan. */
export class Files {
  readonly folder = mkdtempSync(join(tmpdir(), 'kubetun-ingress-'));
  readonly http = join(this.folder, 'http.sock');
  readonly https = join(this.folder, 'https.sock');
  readonly runtime = join(this.folder, 'run.sock');

  constructor() {
    mkdirSync(join(this.folder, 'certs'));
    const { crt, key } = makePem('default.test');
    writeFileSync(join(this.folder, FILES.defaultCertificate), crt + key);
  }

  write(plan: Plan): void {
    const files = renderHaproxy(plan, {
      ...CONFIG_DEFAULTS,
      folder: this.folder,
      socket: this.runtime,
      http: `unix@${this.http}`,
      https: `unix@${this.https}`,
      metrics: `unix@${join(this.folder, 'metrics.sock')}`,
    });
    writeFileSync(join(this.folder, FILES.config), files.config);
    writeFileSync(join(this.folder, FILES.routes), files.routes);
    writeFileSync(join(this.folder, FILES.certificates), files.crtList);
    for (const { name, pem } of files.certificates) writeFileSync(join(this.folder, name), pem);
  }

  /** What HAProxy says about the files; empty if it accepts them. */
  check(): string {
    const { stderr, status } = spawnSync(PROGRAM, ['-c', '-f', join(this.folder, FILES.config)]);
    const lines = stderr.toString().split('\n');
    const faults = lines.filter((line) => /ALERT|WARNING/.test(line)).join('\n');
    return status === 0 ? faults : `status ${status}: ${faults}`;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** HAProxy with a server for each backend. It has no port: it listens on sockets in its folder. */
export class Haproxy {
  readonly files = new Files();
  readonly #servers: Server[] = [];
  #child: ChildProcess | null = null;

  async start(plan: Plan): Promise<void> {
    this.files.write(await this.#withServers(plan));
    const config = join(this.files.folder, FILES.config);
    this.#child = spawn(PROGRAM, ['-db', '-f', config], { stdio: 'ignore' });
    const until = Date.now() + START_MS_MAX;
    while (!(await canConnect(this.files.http))) {
      if (Date.now() > until) throw new Error(`HAProxy does not listen: ${this.files.check()}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async stop(): Promise<void> {
    if (this.#child) {
      this.#child.kill('SIGKILL');
      await once(this.#child, 'exit');
    }
    for (const server of this.#servers) server.closeAllConnections();
    for (const server of this.#servers) server.close();
    this.files.remove();
  }

  /** Sends bytes, and resolves to the status line and the body. */
  async send(request: string): Promise<{ status: number; head: string; body: string }> {
    const socket = connect(this.files.http);
    socket.end(Buffer.from(request, 'latin1'));
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString('latin1');
    const [head = '', body = ''] = text.split(/\r\n\r\n(.*)/s);
    return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1] ?? 0), head, body };
  }

  /** A command of the runtime socket. */
  async run(command: string): Promise<string> {
    const socket = connect(this.files.runtime);
    socket.end(`${command}\n`);
    let text = '';
    for await (const chunk of socket) text += chunk;
    return text;
  }

  /** The plan with a server on loopback in place of each backend's servers. */
  async #withServers(plan: Plan): Promise<Plan> {
    const backends = [];
    for (const backend of plan.backends) {
      if (backend.servers.length === 0) {
        backends.push(backend);
        continue;
      }
      const port = await this.#serve(backend.service);
      const servers = [{ name: 'test', address: LOOPBACK, port }];
      backends.push({ ...backend, isExternal: false, servers });
    }
    return { ...plan, backends };
  }

  async #serve(service: string): Promise<number> {
    const server = createServer((request, response) => {
      const { url, headers, method } = request;
      response.end(JSON.stringify({ service, url, method, headers }));
    });
    this.#servers.push(server);
    server.listen(0, LOOPBACK);
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }
}

async function canConnect(path: string): Promise<boolean> {
  const socket = connect(path);
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
  }).then((is) => {
    socket.destroy();
    return is as boolean;
  });
}
