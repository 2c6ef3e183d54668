// Addresses that collide in a table with an unseeded hash: inverts the public hash that images once
// used.

/** Multiplicative inverses of the hash's factors modulo 2^32. */
const [FACTOR_B, INVERSE_1, INVERSE_2] = [0x9e3779b1, inverse(0x85ebca6b), inverse(0xc2b2ae35)];
const LOW_BITS = 25;

/** Up to 128 addresses whose public hash with a second word has the same low 25 bits. */
export function collidingAddresses(count: number, second: number): number[] {
  return Array.from({ length: count }, (_, n) => {
    const hash = (n << LOW_BITS) | 0x155_5555;
    let h = Math.imul(unshift(hash, 13), INVERSE_2);
    h = Math.imul(unshift(h, 15), INVERSE_1);
    return h ^ Math.imul(second, FACTOR_B);
  });
}

/** The hash itself, to show that they collide. */
export function publicHash(a: number, b: number): number {
  let h = Math.imul(a ^ Math.imul(b, FACTOR_B), 0x85ebca6b);
  h ^= h >>> 15;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 13);
}

/** Inverts `h ^ (h >>> by)`. */
function unshift(value: number, by: number): number {
  return value ^ (value >>> by) ^ (value >>> (2 * by));
}

function inverse(odd: number): number {
  let x = odd;
  for (let n = 0; n < 5; n++) x = Math.imul(x, 2 - Math.imul(odd, x));
  return x;
}
