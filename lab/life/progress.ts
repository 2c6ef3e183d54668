/**
 * Lines that say how far something long has come, each with what it took. Goes to stderr: stdout is
 * for data.
 */
export class Progress {
  readonly #begun = performance.now();
  #last = performance.now();

  /** A thing is done: `ok` and what it is, with the time since the line before. */
  done(what: string): void {
    const now = performance.now();
    this.#say(`${what.padEnd(WIDTH)} ${formatMs(now - this.#last)}`);
    this.#last = now;
  }

  /** The time since the beginning, for a closing line. */
  total(): string {
    return formatMs(performance.now() - this.#begun);
  }

  #say(line: string): void {
    process.stderr.write(`  ${line}\n`);
  }
}

const WIDTH = 58;

function formatMs(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
