import { constants, fstatSync, lstatSync, type Stats, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { KubetunError } from '../error.ts';
import {
  allocateFile,
  closeFile,
  EACCES,
  ELOOP,
  ENOENT,
  ENOSPC,
  lockFile,
  mapFile,
  mapMemory,
  openFile,
  SystemError,
  unmap,
} from '../io/sys.ts';
import { type Arena, type ArenaSizes, formatArena, isFormatted, viewArena } from './arena.ts';
import { requirePrivateFolder } from './folder.ts';
import {
  ARENA_MAGIC,
  type ArenaLayout,
  H_FLOWS_MAX,
  H_IMAGE_WORDS,
  H_MAGIC,
  HEADER_BYTES,
  layoutArena,
} from './layout.ts';

const { S_IFMT, S_IFREG } = constants;
const UNTRUSTED_ERRNOS = new Set([EACCES, ELOOP]);
type Access = Parameters<typeof mapFile>[3];

/** An arena in a file on tmpfs. */
export interface ArenaFile {
  arena: Arena;
  /** Address of the mapping, for other threads of the process. */
  address: number;
  /** False if the file was created, or had another layout and was replaced. */
  survived: boolean;
  /** Why the old file was not trusted and was replaced; null if it was not. */
  distrusted: string | null;
  /** Releases the mapping and the lock; do not use the views afterwards. */
  close(): void;
}

/**
 * Opens or creates the arena at `path` as its only owner, in a folder that is private to this user.
 * Replaces a file that another user could write to. Allocates the whole file, so that a full tmpfs
 * is an error here and not a SIGBUS later. Throws KubetunError KT_ARENA_LOCKED, KT_ARENA_SPACE,
 * KT_ARENA_FOREIGN.
 */
export function openArenaFile(path: string, sizes: ArenaSizes, seed: number): ArenaFile {
  const layout = layoutArena(sizes.flowsMax, sizes.imageWords);
  const doubt = requirePrivateFolder(dirname(path));
  const found = openTrusted(path);
  if (doubt !== null) found.distrusted = `its folder was put aside: ${doubt}`;
  let { fd } = found;
  try {
    const survived = holdsArena(fd, path, layout);
    if (!survived) {
      // A reader may still use the old file: do not truncate it.
      unlinkSync(path);
      const fresh = openTrusted(path).fd;
      closeFile(fd);
      fd = fresh;
      allocate(fd, layout.bytes, path);
    }
    const file = mapWhole(fd, path, layout, 'shared');
    if (!survived) formatArena(file.arena, seed);
    return { ...file, survived, distrusted: found.distrusted };
  } catch (error) {
    closeFile(fd);
    throw error;
  }
}

function mapWhole(fd: number, path: string, layout: ArenaLayout, access: Access): ArenaFile {
  const mapping = mapFile(fd, layout.bytes, path, access);
  return {
    arena: viewArena(mapping.buffer, layout),
    address: mapping.address,
    survived: true,
    distrusted: null,
    close: () => {
      unmap(mapping);
      closeFile(fd);
    },
  };
}

/** How often an untrusted file is replaced: another user may create it again and again. */
const REPLACEMENTS_MAX = 3;

/**
 * Opens and locks a file that only this user can write to, and returns why it replaced the old one.
 * Throws KubetunError KT_ARENA_LOCKED, KT_ARENA_FOREIGN.
 */
function openTrusted(path: string): { fd: number; distrusted: string | null } {
  let distrusted: string | null = null;
  for (let n = 0; n <= REPLACEMENTS_MAX; n++) {
    let fd: number | null = null;
    try {
      fd = openFile(path, { create: true, noFollow: true, nonblock: true });
      const doubt = doubtAbout(fstatSync(fd), 0o077);
      if (doubt === null) return { fd: locked(fd, path), distrusted };
      distrusted = doubt;
      closeFile(fd);
    } catch (error) {
      // The folder was empty, and `lab down` of another lab removed it.
      if (error instanceof SystemError && error.errno === ENOENT && n < REPLACEMENTS_MAX) {
        requirePrivateFolder(dirname(path));
        continue;
      }
      // A symbolic link; or, with fs.protected_regular, another user's file in a folder of all
      // users.
      const refused = error instanceof SystemError && UNTRUSTED_ERRNOS.has(error.errno);
      if (!refused) throw error;
      distrusted = `it is a link or another user's (${error.message})`;
    }
    removeFile(path, distrusted);
  }
  throw foreign(path, distrusted!);
}

function removeFile(path: string, why: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw foreign(path, why, error);
  }
}

function foreign(path: string, why: string, cause?: unknown): KubetunError {
  return new KubetunError(
    'KT_ARENA_FOREIGN',
    `${path} cannot be trusted: ${why}`,
    'remove it, or name another file with --arena',
    { cause },
  );
}

/** True if an agent of this user would keep the file. A lock on any other file does not count. */
export function isTrustedArena(path: string): boolean {
  try {
    return doubtAbout(lstatSync(path), 0o077) === null;
  } catch {
    return false;
  }
}

/** Why a file is not private to this user, or has a forbidden mode bit. Null if it is private. */
function doubtAbout({ uid, mode, nlink }: Stats, forbidden: number): string | null {
  if ((mode & S_IFMT) !== S_IFREG) return 'it is no regular file';
  if (uid !== process.geteuid!()) return `it belongs to user ${uid}`;
  if ((mode & forbidden) !== 0) return `its mode is ${(mode & 0o777).toString(8)}, not 600`;
  return nlink === 1 ? null : `it has ${nlink} names`;
}

/** Throws KubetunError KT_ARENA_LOCKED, with the file closed. */
function locked(fd: number, path: string): number {
  if (lockFile(fd)) return fd;
  closeFile(fd);
  const message = `${path} belongs to a running agent`;
  throw new KubetunError('KT_ARENA_LOCKED', message, 'stop that agent first');
}

/** True if a file is a complete arena of this layout. */
function holdsArena(fd: number, path: string, layout: ArenaLayout): boolean {
  if (fstatSync(fd).size !== layout.bytes) return false;
  const header = mapFile(fd, HEADER_BYTES, path, 'read');
  const formatted = isFormatted(new Int32Array(header.buffer), layout);
  unmap(header);
  return formatted;
}

/**
 * A new arena in anonymous memory, for benchmarks. It starts on a page, as a file does. The buffer
 * of `createArena` is 16 bytes off, so that every line straddles two cache lines.
 */
export function mapArena(sizes: ArenaSizes, seed: number): Arena {
  const layout = layoutArena(sizes.flowsMax, sizes.imageWords);
  const arena = viewArena(mapMemory(layout.bytes).buffer, layout);
  formatArena(arena, seed);
  return arena;
}

function allocate(fd: number, bytes: number, path: string): void {
  try {
    allocateFile(fd, bytes, path);
  } catch (error) {
    if (!(error instanceof SystemError) || error.errno !== ENOSPC) throw error;
    unlinkSync(path);
    throw new KubetunError(
      'KT_ARENA_SPACE',
      `${path} needs ${Math.ceil(bytes / 2 ** 20)} MiB, and its file system has less`,
      'free some memory there, or start with fewer flows',
      { cause: error },
    );
  }
}

/** Maps an existing arena read-only, without owning it. Throws KubetunError KT_ARENA_ABSENT. */
export function attachArenaFile(path: string): ArenaFile {
  return attach(path, 'read');
}

/** Maps a private copy: writes never reach the arena. Throws KubetunError KT_ARENA_ABSENT. */
export function borrowArenaFile(path: string): ArenaFile {
  return attach(path, 'private');
}

function attach(path: string, access: Access): ArenaFile {
  const absent = (cause?: unknown): KubetunError => {
    const code = (cause as NodeJS.ErrnoException | undefined)?.code;
    const message = code
      ? `the arena ${path} cannot be opened (${code})`
      : `${path} is not an arena of this version`;
    const next = "start this version's agent on the node, and run as its user";
    return new KubetunError('KT_ARENA_ABSENT', message, next, { cause });
  };
  let fd: number;
  try {
    fd = openFile(path, { readOnly: true, noFollow: true });
  } catch (error) {
    throw absent(error);
  }
  try {
    const doubt = doubtAbout(fstatSync(fd), 0o022);
    if (doubt !== null) throw foreign(path, doubt);
    const { size } = fstatSync(fd);
    if (size < HEADER_BYTES) throw absent();
    const probe = mapFile(fd, HEADER_BYTES, path, 'read');
    const header = new Int32Array(probe.buffer);
    const layout = header[H_MAGIC] === ARENA_MAGIC ? layoutOf(header) : null;
    const fits = layout !== null && layout.bytes === size && isFormatted(header, layout);
    unmap(probe);
    if (!layout || !fits) throw absent();
    return mapWhole(fd, path, layout, access);
  } catch (error) {
    closeFile(fd);
    throw error;
  }
}

/** The layout for the sizes in a header; null if no arena of this version has such sizes. */
function layoutOf(header: Int32Array): ArenaLayout | null {
  try {
    return layoutArena(header[H_FLOWS_MAX]!, header[H_IMAGE_WORDS]!);
  } catch {
    return null;
  }
}
