// ipBlocks of all policies as classes of addresses: every prefix that is a block's or an exception's stands for the blocks
// that hold for an address whose longest prefix it is. (Prefixes contain one another or are apart, never in part.)
import type { PolicyPrefix } from '../../datapath/policy/policy.ts';
import type { BlockPeerRow, PrefixRow } from '../model/policy-rows.ts';

export interface PrefixClasses {
  prefixes: PolicyPrefix[];
  /** Block's key -> classes in which it holds. */
  classesOf: Map<string, number[]>;
}

/** The same for blocks that mean the same. */
export function blockKey({ cidr, except }: BlockPeerRow): string {
  return [cidr, ...except].map(prefixKey).join(' ');
}

/** @param nextId gives a class the next free id. */
export function classifyPrefixes(
  blocks: Map<string, BlockPeerRow>,
  nextId: () => number,
): PrefixClasses {
  const all = new Map<string, PrefixRow>();
  for (const { cidr, except } of blocks.values()) {
    for (const prefix of [cidr, ...except]) all.set(prefixKey(prefix), prefix);
  }
  const ids = new Map<string, number>();
  const classesOf = new Map<string, number[]>([...blocks.keys()].map((key) => [key, []]));
  const prefixes = [...all.values()].map((prefix): PolicyPrefix => {
    const held = [...blocks].filter(([, block]) => holds(block, prefix)).map(([key]) => key);
    const members = held.join('|');
    let peer = ids.get(members);
    if (peer === undefined) {
      peer = nextId();
      ids.set(members, peer);
      for (const key of held) classesOf.get(key)!.push(peer);
    }
    return { ...prefix, peer };
  });
  return { prefixes, classesOf };
}

/** True if a block is for every address of a prefix that has none of its exceptions inside. */
function holds({ cidr, except }: BlockPeerRow, prefix: PrefixRow): boolean {
  return contains(cidr, prefix) && !except.some((inner) => contains(inner, prefix));
}

function contains(outer: PrefixRow, inner: PrefixRow): boolean {
  if (outer.length > inner.length) return false;
  return outer.length === 0 || (outer.address ^ inner.address) >>> (32 - outer.length) === 0;
}

function prefixKey({ address, length }: PrefixRow): string {
  return `${address}/${length}`;
}
