// Messages between the processes of a measurement: a line of JSON each.
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { KubetunError } from '../../../datapath/error.ts';
import type { Place } from '../net/topology.ts';
import { start, stop } from '../net/topology.ts';

const ANSWER_MS_MAX = 30_000;

/** CLOCK_MONOTONIC in ms: the same in all processes. */
export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** An image is in force. */
export interface Published {
  atMs: number;
  /** Durations of compile and publish. */
  ms: number;
  services: number;
}

/** A process of a measurement in one of the places. */
export class Talker<T extends object> {
  readonly said: T[] = [];
  readonly #child: ChildProcess;
  readonly #waiting = new Set<() => void>();

  private constructor(child: ChildProcess) {
    this.#child = child;
    createInterface({ input: child.stdout! }).on('line', (line) => {
      if (line.startsWith('{')) this.said.push(JSON.parse(line) as T);
      for (const look of this.#waiting) look();
    });
    child.stderr?.pipe(process.stderr);
  }

  /** Starts a program of this folder and waits for `ready`. */
  static async start<T extends object>(
    place: Place,
    program: string,
    ...args: (string | number)[]
  ): Promise<Talker<T>> {
    const path = new URL(program, import.meta.url).pathname;
    const node = [process.execPath, '--disable-warning=ExperimentalWarning', path];
    return new Talker<T>(await start(place, [...node, ...args.map(String)], 'ready'));
  }

  /** Sends a line. */
  say(words: object): void {
    this.#child.stdin!.write(`${JSON.stringify(words)}\n`);
  }

  /** The first matching message from number `from` on. Throws KubetunError KT_BENCH. */
  hear(what: string, is: (said: T) => boolean, from = 0): Promise<T> {
    return new Promise((resolve, reject) => {
      let at = from;
      const end = () => {
        clearTimeout(timer);
        this.#waiting.delete(look);
      };
      const look = () => {
        while (at < this.said.length) {
          const one = this.said[at++]!;
          if (!is(one)) continue;
          end();
          return resolve(one);
        }
      };
      const timer = setTimeout(() => {
        end();
        const why = `${what}: not within ${ANSWER_MS_MAX / 1000} s`;
        reject(new KubetunError('KT_BENCH', why, 'see the lines above'));
      }, ANSWER_MS_MAX);
      this.#waiting.add(look);
      look();
    });
  }

  end(): Promise<void> {
    return stop(this.#child);
  }
}
