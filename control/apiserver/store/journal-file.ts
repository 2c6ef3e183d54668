// Lines of a journal: a checksum and an entry each, so that damage loses only the lines it hits.
import { appendFileSync, existsSync, readFileSync, renameSync, truncateSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { DecodeError, decodeObject } from '../../kube/decode.ts';
import { KINDS, type KubeKind } from '../../kube/kinds.ts';
import { isObject, type KubeObject } from '../../kube/object.ts';

/** A write of an object, or its deletion. */
export interface Entry {
  /** Plural name of the kind. */
  kind: string;
  version: number;
  /** Null for a deletion. */
  object: KubeObject | null;
  /** `namespace/name`. */
  key: string;
}

const NEWLINE = 0x0a;
const LINE = /^([0-9a-f]{8}) (.*)$/s;
/** Lines that a message names. Further lines are counted. */
const NAMED_MAX = 10;
const KIND_OF = new Map(
  Object.entries(KINDS).map(([kind, { plural }]) => [plural, kind as KubeKind]),
);

/** `CHECKSUM {...}` and a line feed. */
export function formatLine(entry: Entry): string {
  const text = JSON.stringify(entry);
  return `${checksumOf(text)} ${text}\n`;
}

function checksumOf(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}

/**
 * The entries of a file, none if it does not exist. A torn last line is cut off: its write was not
 * acknowledged. All other invalid lines are copied to `PATH.bad`. A file without any entry is
 * renamed to that.
 */
export function readJournal(
  path: string,
  isExpected: boolean,
  onLoss: (message: string) => void,
): { entries: Entry[]; bad: number } {
  if (!existsSync(path)) {
    if (isExpected)
      onLoss(`${path} is missing: all its objects are lost, and a new journal starts`);
    return { entries: [], bad: 0 };
  }
  const entries: Entry[] = [];
  const bad: { line: number; bytes: Buffer; why: string }[] = [];
  let line = 0;
  const bytes = readFileSync(path);
  const end = bytes.lastIndexOf(NEWLINE) + 1;
  for (let from = 0; from < end; ) {
    const to = bytes.indexOf(NEWLINE, from);
    line++;
    const found = bytes.subarray(from, to);
    from = to + 1;
    if (found.length === 0) continue;
    const entry = parseLine(found.toString());
    if (typeof entry === 'string') bad.push({ line, bytes: found, why: entry });
    else entries.push(entry);
  }
  const isUnreadable = entries.length === 0 && bytes.length > 0;
  if (isUnreadable) keepAside(path, onLoss);
  else {
    if (end < bytes.length) truncateSync(path, end);
    keepCopies(
      path,
      bad.map(({ bytes }) => bytes),
      onLoss,
    );
    for (const { line, why } of bad.slice(0, NAMED_MAX)) {
      onLoss(`${path}:${line} is skipped (${why}), with a copy in ${path}.bad`);
    }
    if (bad.length > NAMED_MAX) onLoss(`${path}: ${bad.length} lines are skipped`);
  }
  return { entries, bad: isUnreadable ? 0 : bad.length };
}

/** On a full disk the lines stay in the journal only. */
function keepCopies(path: string, lines: Buffer[], onLoss: (message: string) => void): void {
  try {
    for (const line of lines) appendFileSync(`${path}.bad`, `${line}\n`, { mode: 0o600 });
  } catch (error) {
    onLoss(`${path}.bad cannot be written: ${(error as Error).message}`);
  }
}

function keepAside(path: string, onLoss: (message: string) => void): void {
  let kept = `${path}.unreadable`;
  for (let i = 1; existsSync(kept); i++) kept = `${path}.unreadable-${i}`;
  renameSync(path, kept);
  onLoss(`${path} has no readable line: the cluster starts empty, and the file is kept as ${kept}`);
}

/** The decoded entry, or the reason why the line has none. */
function parseLine(line: string): Entry | string {
  // Earlier versions wrote no checksum.
  const [, checksum, text] = LINE.exec(line) ?? [null, null, line];
  if (checksum !== null && checksumOf(text!) !== checksum) return 'its checksum is another one';
  let entry: unknown;
  try {
    entry = JSON.parse(text!);
  } catch {
    return 'it is no JSON';
  }
  return isEntry(entry) ? (faultOf(entry) ?? entry) : 'it is no entry of a journal';
}

function isEntry(entry: unknown): entry is Entry {
  if (!isObject(entry)) return false;
  const { kind, version, key, object } = entry;
  const isNamed = typeof kind === 'string' && typeof key === 'string';
  return isNamed && Number.isSafeInteger(version) && (object === null || isObject(object));
}

/**
 * Decodes the object. An entry of an unknown kind stays unchanged, for a version that knows it.
 */
function faultOf({ kind, key, object }: Entry): string | null {
  const known = KIND_OF.get(kind);
  if (!object || !known) return null;
  try {
    decodeObject(known, object);
  } catch (error) {
    if (error instanceof DecodeError) return `${kind} ${key}: ${error.message}`;
    throw error;
  }
  const { name, namespace = '' } = object.metadata ?? {};
  if (`${namespace}/${name}` !== key) {
    return `${kind} ${key}: its metadata names another object`;
  }
  return null;
}
