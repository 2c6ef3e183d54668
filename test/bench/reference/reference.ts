// The hit path in C, as a yardstick for `bench core`. Built where a compiler is.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { KubetunError } from '../../../datapath/error.ts';

const SOURCE = fileURLToPath(new URL('./hit.c', import.meta.url));
const COMPILERS = ['cc', 'gcc', 'clang'];

export class Reference {
  /** Null without a compiler. */
  readonly #program: string | null;
  readonly #folder = mkdtempSync(join(tmpdir(), 'kubetun-reference-'));

  /** Builds the program, or tells `progress` why not. Throws KubetunError for a broken source. */
  constructor(progress: (line: string) => void, compilers = COMPILERS) {
    const compiler = compilers.find((name) => spawnSync(name, ['--version']).status === 0);
    this.#program = compiler === undefined ? null : join(this.#folder, 'hit');
    if (compiler === undefined) {
      progress(`no C compiler (${compilers.join(', ')}): the C reference is left out`);
      return;
    }
    run(compiler, ['-O2', '-Wall', '-Wextra', '-Werror', '-o', this.#program!, SOURCE]);
  }

  get isBuilt(): boolean {
    return this.#program !== null;
  }

  /** ns a packet of established connections: the fastest of `slices`. */
  measureHit(flows: number, slices: number): number {
    if (this.#program === null) throw new KubetunError('KT_BENCH', 'there is no C reference', '');
    return Number(run(this.#program, [String(flows), String(slices)]));
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** What a program prints. */
function run(file: string, args: string[]): string {
  const { status, stdout, stderr } = spawnSync(file, args, { encoding: 'utf8' });
  if (status === 0) return stdout;
  throw new KubetunError('KT_BENCH', `${file} ${args.join(' ')} ended with ${status}`, stderr);
}
