/**
 * Seeded hash of a 5-tuple, an int32: low bits pick the slot, high bits are the tag. The seed keeps
 * a sender from choosing tuples that share a slot. Multiply-xorshift mixes each word into the next.
 */
export const hashTuple = (
  src: number,
  dst: number,
  ports: number,
  proto: number,
  seed: number,
): number => {
  let h = Math.imul(src ^ seed, 0x9e3779b1);
  h ^= h >>> 15;
  h = Math.imul(h ^ dst, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h ^ ports ^ (proto << 24), 0xc2b2ae35);
  h ^= h >>> 16;
  h = Math.imul(h, 0x27d4eb2f);
  return h ^ (h >>> 15);
};
