// A table as nft(8) lists it, in a form that can be compared with another listing. Pure.
import { createHash } from 'node:crypto';

/** A chain, set or map: its number of rules or elements, and a digest of its whole content. */
export interface ObservedObject {
  count: number;
  digest: string;
}

/** By `chain NAME`, `set NAME` or `map NAME`. */
export type ObservedTable = Map<string, ObservedObject>;

interface Json {
  name: string;
  handle: number;
  flags?: string[];
  elem?: unknown[];
}

interface ListedJson {
  chain?: Json;
  set?: Json;
  map?: Json;
  rule?: { chain: string; handle: number };
}

/**
 * Reads `nft -j list table`. Leaves out handles, and elements of dynamic sets, which the kernel
 * adds.
 */
export function parseTable(text: string): ObservedTable {
  const { nftables } = JSON.parse(text) as { nftables: ListedJson[] };
  const parts = new Map<string, string[]>();
  const add = (key: string, part: unknown) => {
    const known = parts.get(key) ?? [];
    if (known.length === 0) parts.set(key, known);
    known.push(JSON.stringify(part, inOrder));
  };
  for (const listed of nftables) {
    for (const kind of ['chain', 'set', 'map'] as const) {
      const object = listed[kind];
      if (!object) continue;
      const { elem = [], handle: _, ...what } = object;
      const key = `${kind} ${object.name}`;
      add(key, what);
      if (object.flags?.includes('dynamic')) continue;
      const elements = elem.map((element) => JSON.stringify(element, inOrder)).sort();
      for (const element of elements) add(key, element);
    }
    if (!listed.rule) continue;
    const { handle: _, ...rule } = listed.rule;
    add(`chain ${rule.chain}`, rule);
  }
  return new Map([...parts].map(([key, texts]) => [key, observed(texts)]));
}

/** Objects in which a table differs from the reference, one line each. */
export function diffTables(table: ObservedTable, reference: ObservedTable): string[] {
  const strays = [...table.keys()].filter((key) => !reference.has(key));
  const others = [...reference].filter(([key, { digest }]) => table.get(key)?.digest !== digest);
  return [
    ...others.map(([key]) => `${key} has other content`),
    ...strays.map((key) => `${key} does not belong to the table`),
  ];
}

function observed(texts: string[]): ObservedObject {
  const digest = createHash('sha256').update(texts.join('\n')).digest('base64');
  return { count: texts.length - 1, digest };
}

/** The kernel lists the elements of a set within a rule in any order. */
function inOrder(key: string, value: unknown): unknown {
  if (key !== 'set' || !Array.isArray(value)) return value;
  return value.map((element) => JSON.stringify(element)).sort();
}
