/**
 * Prints the progress of a long command: one line per step with its duration. Goes to stderr,
 * because stdout is for data.
 */
export class Progress {
  readonly #begun = performance.now();
  #last = performance.now();

  /** Prints a finished step with the time since the last one. */
  done(what: string): void {
    const now = performance.now();
    this.#say(`${what.padEnd(WIDTH)} ${formatMs(now - this.#last)}`);
    this.#last = now;
  }

  /** The time since the start. */
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
