// The store on disk: a line for each write. A snapshot sometimes replaces all earlier lines.
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

/** An unfinished snapshot. */
interface Snapshot {
  fd: number;
  /** The live entries at its start, then later writes. */
  entries: Entry[];
  /** The writes since. */
  late: Entry[];
  /** The number of `entries` in the file. */
  written: number;
  /** Bytes in the file. */
  lines: number;
  bytes: number;
}

/** A write in the journal: the object before and after. One of them may be null. */
export interface PastWrite {
  kind: string;
  version: number;
  old: KubeObject | null;
  object: KubeObject | null;
}

/** The contents of a journal. */
export interface Restored {
  version: number;
  objects: { kind: string; object: KubeObject }[];
  /** All writes after version `since`, oldest first. */
  writes: PastWrite[];
  since: number;
}

/**
 * A snapshot starts after this many lines, if there are also this many times more lines than
 * objects.
 */
const LINES_MIN = 20_000;
const LINES_PER_OBJECT = 4;
/** The same for the size of the file, compared with the last snapshot. */
const BYTES_MIN = 64 * 1024 * 1024;
const BYTES_PER_BYTE = 4;
/** Versions skipped if lines are unreadable: more than a power failure can have lost. */
const VERSIONS_SKIPPED = 1000;
/** Lines of a snapshot that are written between two requests. */
const SLICE_ENTRIES = 256;

function warn(message: string): void {
  console.error(`journal: ${message}`);
}

/**
 * Writes are in the file before they are acknowledged, so a killed process loses none. A power
 * failure can lose some. A half written last line is dropped: its write was not acknowledged.
 */
export class Journal {
  readonly #path: string;
  #fd: number;
  #lines: number;
  /** The end of the last whole line, in bytes. A failed write may leave half a line behind it. */
  #end: number;
  #isTorn = false;
  /** The latest entry of each object, by kind and key. */
  readonly #live = new Map<string, Entry>();
  #version = 0;
  /** The contents of the file, until `restore` returns them. */
  #past: Pick<Restored, 'writes' | 'since'> = { writes: [], since: 0 };
  #snapshot: Snapshot | null = null;
  /** Size of the last snapshot, bytes. 0 if this process has made none. */
  #bytesLive = 0;
  /** After a failed snapshot: lines and bytes at which the next one may start. */
  #linesPut = 0;
  #bytesPut = 0;

  private constructor(path: string, lines: number) {
    this.#path = path;
    this.#lines = lines;
    this.#fd = openSync(path, 'a', 0o600);
    this.#end = fstatSync(this.#fd).size;
  }

  /**
   * Opens the journal in a file, or starts one. Invalid lines are left out and copied to a file
   * beside it, and `onLoss` gets a message about them. A file without any valid line is kept under
   * another name.
   *
   * @param isExpected the file should exist.
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
   * The lost writes are unknown. So watches start again, and versions continue above all earlier
   * ones.
   */
  #leaveOut(bad: number): void {
    this.#version += bad + VERSIONS_SKIPPED;
    this.#past = { writes: [], since: this.#version };
    // Writes a file without the bad lines that starts at this version. On a full disk the old file
    // stays.
    this.#beginSnapshot();
  }

  /** The contents, null for a new journal. Call it once. */
  restore(): Restored | null {
    if (this.#version === 0) return null;
    const objects = [...this.#live.values()].map(({ kind, object }) => ({ kind, object: object! }));
    const past = this.#past;
    this.#past = { writes: [], since: this.#version };
    return { version: this.#version, objects, ...past };
  }

  /**
   * Appends an object, or with null its deletion. Throws the system's error if the disk is full:
   * then the journal is unchanged.
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

  /** Most lines are obsolete. */
  #isLong(): boolean {
    const lines = Math.max(LINES_MIN, this.#live.size * LINES_PER_OBJECT, this.#linesPut);
    const bytes = Math.max(BYTES_MIN, this.#bytesLive * BYTES_PER_BYTE, this.#bytesPut);
    return this.#lines > lines || this.#end > bytes;
  }

  close(): void {
    this.#endSnapshot();
    closeSync(this.#fd);
  }

  /** Cuts off half a line. Otherwise the next line would continue it. */
  #cutOff(): void {
    ftruncateSync(this.#fd, this.#end);
    this.#isTorn = false;
  }

  /**
   * Reads a line of the file. Lines before the end of a snapshot are live objects, not writes in
   * order.
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

  /**
   * Writes the live objects to another file in slices. Meanwhile writes continue in the old file.
   */
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
    // fsync of the bulk runs in the background.
    fsync(fd, (error) => {
      if (snapshot !== this.#snapshot) return;
      if (error) this.#giveUp(error);
      else this.#replace(snapshot);
    });
  }

  /** Replaces the old file atomically with the snapshot and the writes since its start. */
  #replace({ fd, late, lines, bytes }: Snapshot): void {
    // The latest version may belong to a deleted object.
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
   * The old file stays valid. The next try comes much later, because the disk is probably full.
   */
  #giveUp(error: unknown): void {
    console.error(`journal: the snapshot of ${this.#path} failed: ${(error as Error).message}`);
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

/** On a nearly full disk the first write may be partial and the next one fails. */
function writeAll(fd: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}
