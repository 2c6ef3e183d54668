// One of the two labs: the process that sends and captures in its places, and its connection
// tables.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../lab/places/paths.ts';

export interface PlaceOptions {
  path: string;
  link?: string;
  mac?: string;
  table?: true;
  own?: [address: string, link: string];
}

export type Sending = [place: string, packet: Buffer];

export interface Answer {
  lines: [place: string, bytes: Buffer][];
  /** Lost markers. */
  lost: number;
}

const PROGRAM = join(PROJECT_ROOT, 'test/differential/places.py');

export class Side {
  readonly #child: ChildProcess;
  #rest = '';
  #lines: Answer['lines'] = [];
  #waiting: { done: (answer: Answer) => void; failed: (error: Error) => void } | null = null;
  #errors = '';

  /** Throws if a place cannot be opened. */
  static async open(name: string, places: Record<string, PlaceOptions>): Promise<Side> {
    const side = new Side(name);
    await side.#ask({ open: places });
    return side;
  }

  private constructor(name: string) {
    // In a separate process group, which a terminal's interrupt does not reach. It ends with its
    // input.
    this.#child = spawn('python3', [PROGRAM], { stdio: 'pipe', detached: true });
    this.#child.stdin!.on('error', () => {});
    this.#child.stdout!.setEncoding('latin1').on('data', (text: string) => this.#hear(text));
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text;
    });
    this.#child.on('close', () => {
      this.#waiting?.failed(new Error(`${name}: places.py ended: ${this.#errors.trim()}`));
    });
  }

  /** Sends the packets of one step, then markers. Returns the arrivals before the markers. */
  async step(packets: Sending[], markers: Sending[], waitS: number): Promise<Answer> {
    const hex = (all: Sending[]) => all.map(([place, packet]) => [place, packet.toString('hex')]);
    return this.#ask({ send: hex(packets), markers: hex(markers), wait: waitS });
  }

  async dump(nodes: readonly string[]): Promise<Answer['lines']> {
    return (await this.#ask({ dump: nodes })).lines;
  }

  /** Sets the timeout in seconds of flows renewed from now on, in any state. */
  async setTimeouts(seconds: number, places: readonly string[]): Promise<void> {
    await this.#ask({ timeouts: [seconds, places] });
  }

  async flush(nodes: readonly string[]): Promise<void> {
    await this.#ask({ flush: nodes });
  }

  #ask(command: object): Promise<Answer> {
    return new Promise((done, failed) => {
      this.#waiting = { done, failed };
      this.#child.stdin!.write(`${JSON.stringify(command)}\n`);
    });
  }

  #hear(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    for (const line of lines) {
      const [place, hex] = line.split(' ') as [string, string];
      if (place !== 'done') {
        this.#lines.push([place, Buffer.from(hex, 'hex')]);
        continue;
      }
      const answer = { lines: this.#lines, lost: Number(hex) };
      this.#lines = [];
      this.#waiting?.done(answer);
    }
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const closed = new Promise((resolve) => this.#child.once('close', resolve));
    this.#waiting = null;
    this.#child.stdin!.end();
    await closed;
  }
}
