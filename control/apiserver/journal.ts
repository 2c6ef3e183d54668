// The store on disk: a line for each write, and now and then a snapshot in place of all lines before it.
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { KubetunError } from '../../datapath/error.ts';
import type { KubeObject } from './object.ts';

/** An object as it was last written, or the end of one. */
interface Entry {
  /** Plural name of the kind. */
  kind: string;
  version: number;
  /** Null: it is gone. */
  object: KubeObject | null;
  /** `namespace/name`. */
  key: string;
}

/** What a journal holds. */
export interface Restored {
  version: number;
  objects: { kind: string; object: KubeObject }[];
}

/** A snapshot is written when this many lines, and three times as many as there are objects, have gathered. */
const LINES_MIN = 20_000;
const LINES_PER_OBJECT = 4;

/**
 * Every write is in the file before it is acknowledged, so that a killed process loses none; a machine that loses
 * power may. A last line that is half written is dropped: nobody was told of it.
 */
export class Journal {
  readonly #path: string;
  #fd: number;
  #lines: number;
  /** The latest entry of each object, by kind and key. */
  readonly #live = new Map<string, Entry>();
  #version = 0;

  private constructor(path: string, lines: number) {
    this.#path = path;
    this.#lines = lines;
    this.#fd = openSync(path, 'a', 0o600);
  }

  /** Opens the journal in a file, or begins one. Throws KubetunError KT_JOURNAL. */
  static open(path: string): Journal {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const entries = existsSync(path) ? readEntries(path) : [];
    const journal = new Journal(path, entries.length);
    for (const entry of entries) journal.#take(entry);
    return journal;
  }

  /** What it holds; null if it is new. */
  restore(): Restored | null {
    if (this.#version === 0) return null;
    const objects = [...this.#live.values()].map(({ kind, object }) => ({ kind, object: object! }));
    return { version: this.#version, objects };
  }

  /** Notes that an object is now so, or with null that it is gone. */
  append(kind: string, key: string, version: number, object: KubeObject | null): void {
    const entry = { kind, version, object, key };
    writeSync(this.#fd, `${JSON.stringify(entry)}\n`);
    this.#take(entry);
    this.#lines++;
    if (this.#lines > Math.max(LINES_MIN, this.#live.size * LINES_PER_OBJECT)) this.#compact();
  }

  close(): void {
    closeSync(this.#fd);
  }

  #take(entry: Entry): void {
    const id = `${entry.kind} ${entry.key}`;
    this.#version = Math.max(this.#version, entry.version);
    if (entry.object) this.#live.set(id, entry);
    else this.#live.delete(id);
  }

  /** Writes what is live to another file and puts that in place of the old one, at once or not at all. */
  #compact(): void {
    const next = `${this.#path}.new`;
    const fd = openSync(next, 'w', 0o600);
    for (const entry of this.#live.values()) writeSync(fd, `${JSON.stringify(entry)}\n`);
    // The version may be that of an object that is gone.
    writeSync(
      fd,
      `${JSON.stringify({ kind: '', key: '', version: this.#version, object: null })}\n`,
    );
    fsyncSync(fd);
    renameSync(next, this.#path);
    closeSync(this.#fd);
    this.#fd = fd;
    this.#lines = this.#live.size + 1;
  }
}

/** The entries of a file; a torn last line is cut off, so that the next one begins where it should. */
function readEntries(path: string): Entry[] {
  const text = readFileSync(path, 'utf8');
  const end = text.lastIndexOf('\n') + 1;
  if (end < text.length) truncateSync(path, Buffer.byteLength(text.slice(0, end)));
  return text
    .slice(0, end)
    .split('\n')
    .filter((line) => line !== '')
    .map((line, i) => parseEntry(line, `${path}:${i + 1}`));
}

function parseEntry(line: string, place: string): Entry {
  try {
    return JSON.parse(line) as Entry;
  } catch (error) {
    throw new KubetunError(
      'KT_JOURNAL',
      `${place} is no entry of a journal`,
      'remove the lab with lab down; what it held cannot be trusted',
      { cause: error },
    );
  }
}
