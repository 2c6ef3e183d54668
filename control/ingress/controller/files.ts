// The files that HAProxy loads, one folder per generation. `current` leads to the newest, so that
// an HAProxy that starts by itself always finds a complete configuration.
import { execFile } from 'node:child_process';
import {
  existsSync,
  linkSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { makeFolder } from '../../files.ts';
import { FILES } from '../config.ts';
import type { Files } from './desired.ts';

const CHECK_FILE = 'check.cfg';
const CHECK_MS_MAX = 60_000;
const HAPROXY = 'haproxy';

export class ConfigFiles {
  /** Files are named below it in the configuration. */
  readonly current: string;
  readonly #folder: string;
  /** Exists while HAProxy may run something else than the files say. */
  readonly #mark: string;
  #generation = 0;

  constructor(folder: string) {
    this.#folder = folder;
    this.current = join(folder, 'current');
    this.#mark = join(folder, 'applying');
    for (const name of this.#generations()) this.#generation = Math.max(this.#generation, +name);
  }

  pathOf(name: string): string {
    return join(this.current, name);
  }

  /** Names and texts of the current files. Null before the first ones. */
  read(): Files | null {
    if (!existsSync(this.pathOf(FILES.config))) return null;
    const names = readdirSync(this.current, { recursive: true, withFileTypes: true });
    const found = new Map<string, string>();
    for (const entry of names.filter((entry) => entry.isFile())) {
      const path = join(entry.parentPath, entry.name);
      const name = path.slice(this.current.length + 1);
      if (name !== CHECK_FILE) found.set(name, readFileSync(path, 'utf8'));
    }
    return found;
  }

  /**
   * Makes a generation beside the current one. Files that are as in `before`, the current ones,
   * are linked. Returns its folder.
   */
  stage(files: Files, before: Files | null): string {
    this.#generation++;
    const folder = join(this.#folder, 'generations', String(this.#generation));
    rmSync(folder, { recursive: true, force: true });
    for (const [name, text] of files) {
      const path = join(folder, name);
      makeFolder(dirname(path));
      if (before?.get(name) === text) linkSync(this.pathOf(name), path);
      else writeFileSync(path, text, { mode: 0o600 });
    }
    return folder;
  }

  /** Makes a staged generation the current one, and removes all others. */
  switchTo(folder: string): void {
    const link = `${this.current}.new`;
    rmSync(link, { force: true });
    symlinkSync(folder, link);
    renameSync(link, this.current);
    for (const name of this.#generations()) {
      if (name !== basename(folder)) this.drop(join(this.#folder, 'generations', name));
    }
  }

  drop(folder: string): void {
    rmSync(folder, { recursive: true, force: true });
  }

  /** Writes the files at once. `before` are the current ones. */
  write(files: Files, before: Files | null): void {
    const changed = [...files].filter(([name, text]) => before?.get(name) !== text);
    if (before?.size !== files.size || changed.length > 1) {
      return this.switchTo(this.stage(files, before));
    }
    for (const [name, text] of changed) {
      if (!before.has(name)) return this.switchTo(this.stage(files, before));
      writeFileSync(`${this.pathOf(name)}.new`, text, { mode: 0o600 });
      renameSync(`${this.pathOf(name)}.new`, this.pathOf(name));
    }
  }

  /** What HAProxy finds wrong with a staged generation; null for nothing. */
  check(folder: string, files: Files): Promise<string | null> {
    // The configuration names files in `current`.
    const checked = [...files].filter(([, text]) => text.includes(`${this.current}/`));
    for (const [name, text] of checked) {
      const path = join(folder, name === FILES.config ? CHECK_FILE : `${name}.check`);
      let own = text.replaceAll(`${this.current}/`, `${folder}/`);
      for (const [other] of checked) {
        own = own.replaceAll(join(folder, other), `${join(folder, other)}.check`);
      }
      writeFileSync(path, own, { mode: 0o600 });
    }
    const path = existsSync(join(folder, CHECK_FILE)) ? CHECK_FILE : FILES.config;
    return new Promise((resolve) => {
      const args = ['-c', '-f', join(folder, path)];
      execFile(HAPROXY, args, { timeout: CHECK_MS_MAX }, (error, stdout, stderr) => {
        for (const [name] of checked) rmSync(join(folder, `${name}.check`), { force: true });
        rmSync(join(folder, CHECK_FILE), { force: true });
        resolve(error === null ? null : firstAlert(`${stdout}${stderr}`) || error.message);
      });
    });
  }

  get isMarked(): boolean {
    return existsSync(this.#mark);
  }

  mark(): void {
    writeFileSync(this.#mark, '');
  }

  unmark(): void {
    rmSync(this.#mark, { force: true });
  }

  #generations(): string[] {
    const folder = join(this.#folder, 'generations');
    return existsSync(folder) ? readdirSync(folder) : [];
  }
}

function firstAlert(text: string): string {
  const line = text.split('\n').find((line) => line.startsWith('[ALERT]')) ?? '';
  return line.replace(/^\[ALERT\]\s+\(\d+\) : /, '');
}
