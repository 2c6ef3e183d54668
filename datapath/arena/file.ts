import { statSync, unlinkSync } from 'node:fs';
import { KubetunError } from '../error.ts';
import {
  allocateFile,
  closeFile,
  ENOSPC,
  lockFile,
  mapFile,
  mapFilePrivate,
  mapMemory,
  openFile,
  SystemError,
  unmap,
} from '../io/sys.ts';
import { type Arena, type ArenaSizes, formatArena, isFormatted, viewArena } from './arena.ts';
import {
  ARENA_MAGIC,
  type ArenaLayout,
  H_FLOWS_MAX,
  H_IMAGE_WORDS,
  H_MAGIC,
  HEADER_BYTES,
  layoutArena,
} from './layout.ts';

/** An arena in a file on tmpfs. */
export interface ArenaFile {
  arena: Arena;
  /** Where it is mapped, for other threads of the process. */
  address: number;
  /** False if the file was made new, or held another layout and was discarded. */
  survived: boolean;
  /** Lets go of the mapping and the lock; the views must not be touched afterwards. */
  close(): void;
}

/**
 * Opens, or makes, the arena at `path` as its only owner. The file is allocated whole, so that a full tmpfs is
 * an error here and not a SIGBUS later. Throws KubetunError KT_ARENA_LOCKED, KT_ARENA_SPACE.
 */
export function openArenaFile(path: string, sizes: ArenaSizes, seed: number): ArenaFile {
  const layout = layoutArena(sizes.flowsMax, sizes.imageWords);
  let fd = openLocked(path);
  try {
    const survived = holdsArena(fd, path, layout);
    if (!survived) {
      // A reader may still look at the old one: to it nothing must be cut short.
      unlinkSync(path);
      const fresh = openLocked(path);
      closeFile(fd);
      fd = fresh;
      allocate(fd, layout.bytes, path);
    }
    const mapping = mapFile(fd, layout.bytes, path);
    const arena = viewArena(mapping.buffer, layout);
    if (!survived) formatArena(arena, seed);
    return {
      arena,
      address: mapping.address,
      survived,
      close: () => {
        unmap(mapping);
        closeFile(fd);
      },
    };
  } catch (error) {
    closeFile(fd);
    throw error;
  }
}

/** Throws KubetunError KT_ARENA_LOCKED. */
function openLocked(path: string): number {
  const fd = openFile(path, { create: true });
  if (lockFile(fd)) return fd;
  closeFile(fd);
  throw new KubetunError(
    'KT_ARENA_LOCKED',
    `${path} belongs to a running agent`,
    'stop that agent first',
  );
}

/** True if a file is a whole arena of this layout. */
function holdsArena(fd: number, path: string, layout: ArenaLayout): boolean {
  if (statSync(path).size !== layout.bytes) return false;
  const header = mapFile(fd, HEADER_BYTES, path);
  const formatted = isFormatted(new Int32Array(header.buffer), layout);
  unmap(header);
  return formatted;
}

/**
 * A fresh arena in anonymous memory, for benchmarks. Unlike the buffer of `createArena` it starts on a page, as a
 * file does: there, 16 bytes off, every line straddles two cache lines.
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

/**
 * Maps an existing arena without owning it, as the worker and every reader do. Throws KubetunError
 * KT_ARENA_ABSENT.
 */
export function attachArenaFile(path: string): ArenaFile {
  return attach(path, mapFile);
}

/** The same for whoever wants to try something: what is written here never reaches the arena. */
export function borrowArenaFile(path: string): ArenaFile {
  return attach(path, mapFilePrivate);
}

function attach(path: string, map: typeof mapFile): ArenaFile {
  const absent = (cause?: unknown): KubetunError =>
    new KubetunError(
      'KT_ARENA_ABSENT',
      `${path} is no arena of this version`,
      'is the agent running?',
      {
        cause,
      },
    );
  let fd: number;
  try {
    fd = openFile(path);
  } catch (error) {
    throw absent(error);
  }
  try {
    const size = statSync(path).size;
    if (size < HEADER_BYTES) throw absent();
    const probe = mapFile(fd, HEADER_BYTES, path);
    const header = new Int32Array(probe.buffer);
    const layout = header[H_MAGIC] === ARENA_MAGIC ? layoutOf(header) : null;
    const fits = layout !== null && layout.bytes === size && isFormatted(header, layout);
    unmap(probe);
    if (!layout || !fits) throw absent();
    const mapping = map(fd, layout.bytes, path);
    return {
      arena: viewArena(mapping.buffer, layout),
      address: mapping.address,
      survived: true,
      close: () => {
        unmap(mapping);
        closeFile(fd);
      },
    };
  } catch (error) {
    closeFile(fd);
    throw error;
  }
}

/** The layout of the sizes that a header names; null for sizes that no arena of this version has. */
function layoutOf(header: Int32Array): ArenaLayout | null {
  try {
    return layoutArena(header[H_FLOWS_MAX]!, header[H_IMAGE_WORDS]!);
  } catch {
    return null;
  }
}
