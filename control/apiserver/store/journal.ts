// The store on disk: a line for each write, and now and then a snapshot in place of all lines
// before it.
import {
  closeSync,
  fstatSync,
  fsync,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { makeFolder } from '../../files.ts';
import type { KubeObject } from '../../kube/object.ts';
import { type Entry, formatLine, readJournal } from './journal-file.ts';

/** A snapshot that is being written. */
interface Snapshot {
  fd: number;
  /** What was live when it was begun; then what came meanwhile. */
  entries: Entry[];
  /** What was written since. */
  late: Entry[];
  /** How many of `entries` are in the file. */
  written: number;
  /** What is in the file. */
  lines: number;
  bytes: number;
}

/**
 * A write that a journal remembers: what was there before, and what after; one of them may be null.
 */
export interface PastWrite {
  kind: string;
  version: number;
  old: KubeObject | null;
  object: KubeObject | null;
}

/** What a journal holds. */
export interface Restored {
  version: number;
  objects: { kind: string; object: KubeObject }[];
  /** Every write after version `since`, oldest first. */
  writes: PastWrite[];
  since: number;
}

/**
 * A snapshot is begun when this many lines, and so many times as many as there are objects, have
 * gathered.
 */
const LINES_MIN = 20_000;
const LINES_PER_OBJECT = 4;
/**
 * The same for the size of the file: by this much, and so many times as much as the last snapshot
 * had.
 */
const BYTES_MIN = 64 * 1024 * 1024;
const BYTES_PER_BYTE = 4;
/** Versions left free after a loss: more than the lines that were lost can have held. */
const VERSIONS_SKIPPED = 1000;
/** Of a snapshot, between two requests. */
const SLICE_ENTRIES = 256;

function warn(message: string): void {
  console.error(`journal: ${message}`);
}

/**
 * Every write is in the file before it is acknowledged, so that a killed process loses none; a
 * machine that loses power may. A last line that is half written is dropped: nobody was told of it.
 */
export class Journal {
  readonly #path: string;
  #fd: number;
  #lines: number;
  /**
   * Where the file ends, in bytes: behind it there may be the half of a line that could not be
   * written.
   */
  #end: number;
  #isTorn = false;
  /** The latest entry of each object, by kind and key. */
  readonly #live = new Map<string, Entry>();
  #version = 0;
  /** What the file tells of writes; let go of when it has been asked for. */
  #past: Pick<Restored, 'writes' | 'since'> = { writes: [], since: 0 };
  #snapshot: Snapshot | null = null;
  /** Size of the last snapshot; 0 in a file that was there. */
  #bytesLive = 0;
  /** No snapshot before there are so many lines, or so many bytes: one has failed. */
  #linesPut = 0;
  #bytesPut = 0;

  private constructor(path: string, lines: number) {
    this.#path = path;
    this.#lines = lines;
    this.#fd = openSync(path, 'a', 0o600);
    this.#end = fstatSync(this.#fd).size;
  }

  /**
   * Opens the journal in a file, or begins one. Lines that are no entries are left out, with a copy
   * of them beside the file: `onLoss` gets what is missing. A file without a single good line is
   * kept under another name.
   *
   * @param isExpected there was a journal before.
   */
  static open(path: string, isExpected = false, onLoss: (message: string) => void = warn): Journal {
    makeFolder(dirname(path), 0o700);
    const { entries, bad } = readJournal(path, isExpected, onLoss);
    const journal = new Journal(path, entries.length);
    journal.#past.since = (entries[0]?.version ?? 1) - 1;
    for (const entry of entries) journal.#recall(entry);
    if (bad > 0) journal.#leaveOut(bad);
    return journal;
  }

  /**
   * Which writes are missing cannot be known: watches begin again, and versions go on above all
   * that were given out.
   */
  #leaveOut(bad: number): void {
    this.#version += bad + VERSIONS_SKIPPED;
    this.#past = { writes: [], since: this.#version };
    // A file without the bad lines, that begins at this version. On a full disk the old one stays
    // as it is.
    this.#beginSnapshot();
  }

  /** What it holds; null if it is new. To be asked once. */
  restore(): Restored | null {
    if (this.#version === 0) return null;
    const objects = [...this.#live.values()].map(({ kind, object }) => ({ kind, object: object! }));
    const past = this.#past;
    this.#past = { writes: [], since: this.#version };
    return { version: this.#version, objects, ...past };
  }

  /**
   * Notes that an object is now so, or with null that it is gone. Throws the system's error when
   * the disk is full: then nothing of it is noted, and what was noted before stays.
   */
  append(kind: string, key: string, version: number, object: KubeObject | null): void {
    const entry = { kind, version, object, key };
    if (this.#isTorn) this.#cutOff();
    const bytes = Buffer.from(formatLine(entry));
    try {
      writeAll(this.#fd, bytes);
    } catch (error) {
      this.#isTorn = true;
      this.#cutOff();
      throw error;
    }
    this.#end += bytes.length;
    this.#take(entry);
    this.#lines++;
    this.#snapshot?.late.push(entry);
    if (this.#isLong() && !this.#snapshot) this.#beginSnapshot();
  }

  /** Most of it is of objects that were written again or are gone. */
  #isLong(): boolean {
    const lines = Math.max(LINES_MIN, this.#live.size * LINES_PER_OBJECT, this.#linesPut);
    const bytes = Math.max(BYTES_MIN, this.#bytesLive * BYTES_PER_BYTE, this.#bytesPut);
    return this.#lines > lines || this.#end > bytes;
  }

  close(): void {
    this.#endSnapshot();
    closeSync(this.#fd);
  }

  /** Takes away the half of a line; else the next one would go on from it. */
  #cutOff(): void {
    ftruncateSync(this.#fd, this.#end);
    this.#isTorn = false;
  }

  /**
   * Takes a line of the file. Those before the end of a snapshot are what was live, and not what
   * was written when.
   */
  #recall(entry: Entry): void {
    const { kind, version, object } = entry;
    const old = this.#live.get(idOf(entry))?.object ?? null;
    if (kind === '') this.#past = { writes: [], since: version };
    else this.#past.writes.push({ kind, version, old, object });
    this.#take(entry);
  }

  #take(entry: Entry): void {
    const id = idOf(entry);
    this.#version = Math.max(this.#version, entry.version);
    if (entry.object) this.#live.set(id, entry);
    else this.#live.delete(id);
  }

  /** Writes what is live to another file, a slice at a time, while writes go on to the old one. */
  #beginSnapshot(): void {
    try {
      const fd = openSync(`${this.#path}.new`, 'w', 0o600);
      this.#snapshot = {
        fd,
        entries: [...this.#live.values()],
        late: [],
        written: 0,
        lines: 0,
        bytes: 0,
      };
    } catch (error) {
      return this.#giveUp(error);
    }
    setImmediate(() => this.#writeSlice(this.#snapshot));
  }

  #writeSlice(snapshot: Snapshot | null): void {
    if (!snapshot || snapshot !== this.#snapshot) return;
    const { fd, entries, written } = snapshot;
    try {
      const slice = entries.slice(written, written + SLICE_ENTRIES);
      snapshot.bytes += writeEntries(fd, slice);
      snapshot.written += slice.length;
      snapshot.lines += slice.length;
    } catch (error) {
      return this.#giveUp(error);
    }
    if (snapshot.written === entries.length && snapshot.late.length > SLICE_ENTRIES) {
      Object.assign(snapshot, { entries: snapshot.late, late: [], written: 0 });
    }
    if (snapshot.written < snapshot.entries.length) {
      setImmediate(() => this.#writeSlice(snapshot));
      return;
    }
    // The bulk goes to the disk in the background; what little comes meanwhile may go later.
    fsync(fd, (error) => {
      if (snapshot !== this.#snapshot) return;
      if (error) this.#giveUp(error);
      else this.#replace(snapshot);
    });
  }

  /**
   * Puts the snapshot, and what was written since it was begun, in place of the old file: at once
   * or not at all.
   */
  #replace({ fd, late, lines, bytes }: Snapshot): void {
    // The version may be that of an object that is gone.
    const last = { kind: '', key: '', version: this.#version, object: null };
    let size = bytes;
    try {
      size += writeEntries(fd, [...late, last]);
      renameSync(`${this.#path}.new`, this.#path);
    } catch (error) {
      return this.#giveUp(error);
    }
    closeSync(this.#fd);
    this.#fd = fd;
    this.#end = size;
    this.#isTorn = false;
    this.#lines = lines + late.length + 1;
    this.#bytesLive = size;
    this.#linesPut = 0;
    this.#bytesPut = 0;
    this.#snapshot = null;
  }

  /**
   * The old file is as good as before, and longer: the next try is far away, as the disk is likely
   * to be full.
   */
  #giveUp(error: unknown): void {
    console.error(`journal: no snapshot of ${this.#path}: ${(error as Error).message}`);
    this.#endSnapshot();
    this.#linesPut = this.#lines + LINES_MIN;
    this.#bytesPut = this.#end + BYTES_MIN;
  }

  #endSnapshot(): void {
    if (!this.#snapshot) return;
    closeSync(this.#snapshot.fd);
    rmSync(`${this.#path}.new`, { force: true });
    this.#snapshot = null;
  }
}

function idOf({ kind, key }: Entry): string {
  return `${kind} ${key}`;
}

function writeEntries(fd: number, entries: Entry[]): number {
  const bytes = Buffer.from(entries.map(formatLine).join(''));
  writeAll(fd, bytes);
  return bytes.length;
}

/** A disk that is nearly full takes a part, and refuses the next. */
function writeAll(fd: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}
