// An HAProxy on sockets in a folder, driven by an Applier, and servers on loopback behind it.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { type Agent, createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { MONOTONIC_CLOCK } from '../../../../../control/clock.ts';
import { CONFIG_DEFAULTS, FILES, renderHaproxy } from '../../../../../control/ingress/config.ts';
import { Applier } from '../../../../../control/ingress/controller/applier.ts';
import { fallbackCertificate } from '../../../../../control/ingress/controller/certificate.ts';
import { ConfigFiles } from '../../../../../control/ingress/controller/files.ts';
import { HaproxySockets } from '../../../../../control/ingress/controller/haproxy.ts';
import type { Backend, Certificate, Plan, Route } from '../../../../../control/ingress/model.ts';
import { PROJECT_ROOT } from '../../../../../lab/places/paths.ts';

const START_MS_MAX = 10_000;
const SETTINGS = {
  ...{ redirectCode: null, allowed: null, cookie: null, timeoutServer: null, timeoutTunnel: null },
  bodyBytesMax: null,
};

export function backend(id: string, ports: number[], change: Partial<Backend> = {}): Backend {
  const servers = ports.map((port) => ({ name: `s${port}`, address: '127.0.0.1', port }));
  const of = { service: `default/${id}`, port: 80, protocol: 'http' as const, isExternal: false };
  return { ...SETTINGS, ...of, id, servers, ...change };
}

/** Routes are `HOST/PATH` -> id of a backend. */
export function planOf(
  routes: Record<string, string>,
  backends: Backend[],
  certificates: Certificate[] = [],
): Plan {
  const rows = Object.entries(routes).map(([place, to]): Route => {
    const [, host = '', path = ''] = /^([^/]+)(\/.*)$/.exec(place)!;
    return { host, path, type: 'Prefix', backend: to, from: null };
  });
  const rest: Route = { host: '*', path: '/', type: 'Prefix', backend: 'not-found', from: null };
  return { routes: [...rows, rest], backends, certificates, problems: [], served: [] };
}

/** An HTTP server that answers with its name, after `/slow` when it is told to. */
export class Echo {
  readonly #server: Server;
  readonly #slow: (() => void)[] = [];

  constructor(name: string) {
    this.#server = createServer((incoming, response) => {
      // An idle connection would keep its server in HAProxy.
      response.setHeader('connection', 'close');
      if (incoming.url === '/slow') this.#slow.push(() => response.end(name));
      else response.end(name);
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done));
    return (this.#server.address() as AddressInfo).port;
  }

  get waiting(): number {
    return this.#slow.length;
  }

  answerSlow(): void {
    for (const answer of this.#slow.splice(0)) answer();
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

export class TestHaproxy {
  readonly folder = mkdtempSync(join(tmpdir(), 'kubetun-applier-'));
  readonly files = new ConfigFiles(this.folder);
  readonly sockets = new HaproxySockets({
    master: join(this.folder, 'master.sock'),
    admin: join(this.folder, 'admin.sock'),
  });
  readonly refusals: string[] = [];
  readonly #fallback = fallbackCertificate(this.folder);
  #child: ChildProcess | null = null;
  applier = this.newApplier();

  /** Another controller of the same HAProxy. */
  newApplier(): Applier {
    const log = { info: () => {}, warn: () => {}, error: () => {} };
    return new Applier({
      ...{ sockets: this.sockets, files: new ConfigFiles(this.folder), log },
      ...{ clock: MONOTONIC_CLOCK, reloadMsMin: 100 },
      onRefused: (why) => this.refusals.push(why),
    });
  }

  /** @param change makes the configuration another one. */
  async apply(plan: Plan, change: (config: string) => string = (config) => config): Promise<void> {
    const rendered = renderHaproxy(plan, {
      ...CONFIG_DEFAULTS,
      folder: this.files.current,
      socket: join(this.folder, 'admin.sock'),
      http: `unix@${join(this.folder, 'http.sock')}`,
      https: `unix@${join(this.folder, 'https.sock')}`,
      metrics: `unix@${join(this.folder, 'metrics.sock')}`,
    });
    rendered.certificates.unshift({ name: FILES.defaultCertificate, pem: this.#fallback });
    rendered.config = change(rendered.config);
    await this.applier.apply(rendered);
  }

  /** Starts HAProxy as its container does. */
  async start(): Promise<void> {
    const script = join(PROJECT_ROOT, 'lab/apps/ingress/haproxy.sh');
    this.#child = spawn(script, [this.folder], { stdio: 'ignore', detached: true });
    const end = Date.now() + START_MS_MAX;
    const isUp = async () => (await this.sockets.ask('show info')) && (await this.worker()) > 0;
    while (!(await isUp().catch(() => false))) {
      if (Date.now() > end) throw new Error('HAProxy does not start');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Ends HAProxy at once. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (!child?.pid || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    process.kill(-child.pid, 'SIGKILL');
    await ended;
  }

  async close(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async worker(): Promise<number> {
    return (await this.sockets.workers()).find(({ isCurrent }) => isCurrent)!.pid;
  }

  /** Status and body, by default with a connection of its own. */
  get(host: string, path = '/', agent: Agent | false = false): Promise<string> {
    const options = { socketPath: join(this.folder, 'http.sock'), path, headers: { host }, agent };
    return new Promise((resolve, reject) => {
      const sent = request(options, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => {
          body += text;
        });
        response.on('end', () => resolve(`${response.statusCode} ${body.trim()}`));
        response.on('error', reject);
      });
      sent.on('error', reject);
      sent.end();
    });
  }

  /** Common name of the certificate for a name in SNI. */
  certificateFor(servername: string): Promise<string> {
    const path = join(this.folder, 'https.sock');
    return new Promise((resolve, reject) => {
      const socket = connect({ path, servername, rejectUnauthorized: false }, () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      });
      socket.on('error', reject);
    });
  }
}
