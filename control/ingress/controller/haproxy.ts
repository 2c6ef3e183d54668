// HAProxy's command sockets: one connection per command.
import { connect } from 'node:net';
import { KubetunError } from '../../../datapath/error.ts';

const ANSWER_MS_MAX = 10_000;

/** A process of HAProxy, as its master lists it. */
export interface Worker {
  pid: number;
  /** It serves new connections. Others end with their connections. */
  isCurrent: boolean;
}

/** The sockets of one HAProxy. Every call rejects with KubetunError KT_HAPROXY_SILENT. */
export class HaproxySockets {
  readonly #master: string;
  readonly #admin: string;

  constructor({ master, admin }: { master: string; admin: string }) {
    this.#master = master;
    this.#admin = admin;
  }

  /** Sends a command to the current worker and returns its whole answer. */
  ask(command: string, payload = ''): Promise<string> {
    return converse(this.#admin, command, payload);
  }

  /**
   * The same for another worker. One that ends with its connections answers, but refuses changes of
   * servers.
   */
  askWorker(pid: number, command: string): Promise<string> {
    return converse(this.#master, `@!${pid} ${command}`, '');
  }

  async workers(): Promise<Worker[]> {
    return readWorkers(await converse(this.#master, 'show proc', ''));
  }

  /** Asks the master to load its files again. It does so after its answer. */
  async reload(): Promise<void> {
    await converse(this.#master, 'reload', '');
  }
}

/** The workers of `show proc`, oldest last. */
export function readWorkers(text: string): Worker[] {
  let isCurrent = true;
  const found: Worker[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('# old workers')) isCurrent = false;
    const [pid, type] = line.trim().split(/\s+/);
    if (type === 'worker') found.push({ pid: Number(pid), isCurrent });
  }
  return found;
}

/** A payload ends at its first empty line, so that it can have none. */
function converse(path: string, command: string, payload: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: Error) => {
      const what = `HAProxy has not answered ${JSON.stringify(command)} at ${path}: ${why}`;
      reject(new KubetunError('KT_HAPROXY_SILENT', what, 'see the log of its pod', { cause }));
      socket.destroy();
    };
    const socket = connect(path);
    const chunks: Buffer[] = [];
    socket.setTimeout(ANSWER_MS_MAX, () => fail(`silent for ${ANSWER_MS_MAX / 1000} s`));
    socket.on('error', (error) => fail(error.message, error));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('end', () => resolve(Buffer.concat(chunks).toString().trim()));
    const body = payload.split('\n').filter(Boolean).join('\n');
    // The master ends its answer only once it has read to the end.
    socket.end(payload === '' ? `${command}\n` : `${command} <<\n${body}\n\n`);
  });
}
