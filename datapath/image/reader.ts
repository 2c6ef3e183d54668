// The image for cold readers: the next writer, the command line, metrics. A block may change during
// the read, so every length is checked before use.

import type { Arena } from '../arena/arena.ts';
import { H_IMAGE_ROOT } from '../arena/layout.ts';
import * as L from './layout.ts';

const NAME_BYTES_MAX = 1024;

/** The name of a Service port, or null if the image in force has no such id. */
export function readServiceName(arena: Arena, id: number): string | null {
  const { image, header } = arena;
  const root = header[H_IMAGE_ROOT]!;
  if (root === 0 || id <= 0 || id >= (image[root + L.ROOT_DIRECTORY_LENGTH] ?? 0)) return null;
  const at = image[image[root + L.ROOT_DIRECTORY]! + id] ?? 0;
  if (at === 0 || image[at + L.SERVICE_ID] !== id) return null;
  const bytes = image[at + L.SERVICE_NAME_BYTES]!;
  if (bytes < 0 || bytes > NAME_BYTES_MAX) return null;
  const pairs =
    image[at + L.SERVICE_CLUSTER_COUNT]! +
    image[at + L.SERVICE_LOCAL_COUNT]! +
    image[at + L.SERVICE_SERVING_COUNT]! +
    image[at + L.SERVICE_RANGE_COUNT]!;
  const start = image.byteOffset + (at + L.SERVICE_HEADER_WORDS + pairs * 2) * 4;
  if (start < 0 || start + bytes > image.buffer.byteLength) return null;
  return Buffer.from(image.buffer, start, bytes).toString();
}

/** Every Service id in the image in force. */
export function readServices(arena: Arena): Map<number, { name: string }> {
  const found = new Map<number, { name: string }>();
  const root = arena.header[H_IMAGE_ROOT]!;
  if (root === 0) return found;
  const length = arena.image[root + L.ROOT_DIRECTORY_LENGTH] ?? 0;
  for (let id = 1; id < length; id++) {
    const name = readServiceName(arena, id);
    if (name !== null) found.set(id, { name });
  }
  return found;
}

/** The generation in force, 0 before the first publish. */
export function readGeneration(arena: Arena): number {
  const root = arena.header[H_IMAGE_ROOT]!;
  return root === 0 ? 0 : arena.image[root + L.ROOT_GENERATION]!;
}
