// A process with raw sockets in every place of a lab. It sends probes there and reports what is
// delivered there.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { KubetunError } from '../../../datapath/error.ts';
import { PROJECT_ROOT } from '../../../lab/places/paths.ts';

/** A packet that was delivered locally in a place. */
export interface Delivery {
  place: string;
  packet: Buffer;
}

/** A packet to send from a place. `own` uses an ordinary socket of that place. */
export interface Sending {
  place: string;
  own: boolean;
  packet: Buffer;
}

const PROGRAM = join(PROJECT_ROOT, 'test/e2e/clients/places.py');
const POLL_MS = 10;

export class Places {
  readonly #child: ChildProcess;
  readonly #deliveries: Delivery[] = [];
  #sendings = 0;
  #said = 0;
  #heardAt = 0;
  #errors = '';
  #ended = false;

  /** @param paths network namespaces by the names of places. */
  constructor(paths: Record<string, string>) {
    this.#child = spawn('python3', [PROGRAM], { stdio: 'pipe' });
    this.#child.on('error', (error) => this.#fail(String(error)));
    this.#child.on('close', () => this.#fail(''));
    this.#child.stdin!.on('error', () => {});
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text;
    });
    let rest = '';
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop()!;
      for (const line of lines) this.#hear(line);
    });
    this.#tell({ open: paths });
  }

  #hear(line: string): void {
    const [place = '', hex] = line.split(' ');
    this.#heardAt = Date.now();
    if (hex === undefined) this.#said++;
    else this.#deliveries.push({ place, packet: Buffer.from(hex, 'hex') });
  }

  #fail(text: string): void {
    this.#errors += text;
    this.#ended = true;
  }

  #tell(command: object): void {
    this.#child.stdin!.write(`${JSON.stringify(command)}\n`);
  }

  /** Clears the deliveries. */
  clear(): void {
    this.#deliveries.length = 0;
  }

  /**
   * Sends, and returns all deliveries since the last `clear` once `enough` is true, or after a
   * silence. Throws KubetunError KT_LIVE if a packet could not be sent.
   */
  async send(
    sendings: Sending[],
    silenceMs: number,
    enough: (deliveries: readonly Delivery[]) => boolean,
  ): Promise<readonly Delivery[]> {
    this.#sendings++;
    this.#tell({ send: sendings.map((s) => [s.place, s.own, s.packet.toString('hex')]) });
    for (;;) {
      if (this.#errors !== '' || this.#ended) throw this.#error();
      const silent = Date.now() - this.#heardAt >= silenceMs;
      const sent = this.#said === this.#sendings;
      if (sent && (silent || enough(this.#deliveries))) return this.#deliveries;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  #error(): KubetunError {
    const lines = this.#errors.trim().split('\n');
    return new KubetunError(
      'KT_LIVE',
      `probes cannot be sent: ${lines.at(-1) || 'the process with the sockets has ended'}`,
      'it needs python3 and root; see test/e2e/clients/places.py',
    );
  }

  async close(): Promise<void> {
    this.#child.stdin!.end();
    if (this.#ended) return;
    await new Promise((resolve) => this.#child.once('close', resolve));
  }
}
