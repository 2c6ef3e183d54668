// The image for cold readers: the next writer, the command line, metrics. A block may change during
// the read, so every length is checked before use.

import type { Arena } from '../arena/arena.ts';
import { H_IMAGE_ROOT } from '../arena/layout.ts';
import * as L from './layout.ts';

const NAME_BYTES_MAX = 1024;

/** A word of the root in force; 0 before the first publish. */
export function rootWord({ image, header }: Arena, word: number): number {
  const root = header[H_IMAGE_ROOT]!;
  return root === 0 ? 0 : (image[root + word] ?? 0);
}

/** A name of `bytes` bytes at a word of the image; null if no name of that length lies there. */
export function readName({ image }: Arena, at: number, bytes: number): string | null {
  const start = image.byteOffset + at * 4;
  const isName = start >= 0 && bytes >= 0 && bytes <= NAME_BYTES_MAX;
  if (!isName || start + bytes > image.buffer.byteLength) return null;
  return Buffer.from(image.buffer, start, bytes).toString();
}

/** The name of a Service port, or null if the image in force has no such id. */
export function readServiceName(arena: Arena, id: number): string | null {
  const { image } = arena;
  if (id <= 0 || id >= rootWord(arena, L.ROOT_DIRECTORY_LENGTH)) return null;
  const at = image[rootWord(arena, L.ROOT_DIRECTORY) + id] ?? 0;
  if (at === 0 || image[at + L.SERVICE_ID] !== id) return null;
  const pairs =
    image[at + L.SERVICE_CLUSTER_COUNT]! +
    image[at + L.SERVICE_LOCAL_COUNT]! +
    image[at + L.SERVICE_SERVING_COUNT]! +
    image[at + L.SERVICE_RANGE_COUNT]!;
  const bytes = image[at + L.SERVICE_NAME_BYTES]!;
  return readName(arena, at + L.SERVICE_HEADER_WORDS + pairs * 2, bytes);
}

/** Every Service id in the image in force. */
export function readServices(arena: Arena): Map<number, { name: string }> {
  const found = new Map<number, { name: string }>();
  const length = rootWord(arena, L.ROOT_DIRECTORY_LENGTH);
  for (let id = 1; id < length; id++) {
    const name = readServiceName(arena, id);
    if (name !== null) found.set(id, { name });
  }
  return found;
}

/** The generation in force, 0 before the first publish. */
export function readGeneration(arena: Arena): number {
  return rootWord(arena, L.ROOT_GENERATION);
}
