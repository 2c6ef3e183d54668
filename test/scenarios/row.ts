// Scenario files: Kubernetes objects, and rows with the results of connections. A row is `rule |
// what | FROM -> TO | outcome`. `rule` is an id of rows.ts; `TO` is ADDRESS:PORT/PROTOCOL, or
// ADDRESS/icmp. The outcome is `reject`, `drop REASON`, or all possible destinations; `*` marks
// those that see a masqueraded client: the node's address and one of its masquerade ports. Each row
// is tried with many source ports: exactly these destinations must occur; after `one of`, only one
// of them.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parse, YAMLParseError } from 'yaml';
import { KubetunError } from '../../datapath/error.ts';
import { DROP_REASONS } from '../../datapath/pipeline/verdict.ts';
import { parseAddress } from '../../datapath/wire/address.ts';
import { PROTO_ICMP, PROTO_SCTP, PROTO_TCP, PROTO_UDP } from '../../datapath/wire/ipv4.ts';
import type { Manifest } from './world.ts';

export interface Scenario {
  /** The file's name, without folders. */
  file: string;
  about: string;
  /** The node to which the outside sends. */
  node: string;
  objects: Manifest[];
  rows: Row[];
}

export interface Row {
  rule: string;
  what: string;
  /** The text `FROM -> TO`. */
  way: string;
  outcome: string;
  from: string;
  to: string;
  /** 0 for echo. */
  port: number;
  proto: number;
}

/**
 * Tries of a row. The chance that one of four places is not seen is below four times 0.75 to this
 * power: 1e-10.
 */
export const WALKS = 100;

const PROTOCOLS: Record<string, number> = {
  tcp: PROTO_TCP,
  udp: PROTO_UDP,
  sctp: PROTO_SCTP,
  icmp: PROTO_ICMP,
};
const WAY = /^([\d.]+) -> ([\d.]+)(?::(\d+))?\/(\w+)$/;
const PLACE = /^([\d.]+)(?::\d+)?\*?$/;
const ONE_OF = /^one of /;
const DROP = /^drop (\S+)$/;
const FORM = 'rule | what | FROM -> ADDRESS:PORT/tcp|udp|sctp, or FROM -> ADDRESS/icmp | outcome';
const OUTCOMES = '`reject`, `drop REASON`, or places such as 10.244.1.2:8080*, all or `one of`';

/** The scenario files in this folder, by name. */
export function ownFiles(): string[] {
  const names = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.yaml'));
  return names.sort().map((name) => join(import.meta.dirname, name));
}

/** Reads a file. Throws KubetunError KT_SCENARIO with the file and the invalid row. */
export function readScenario(path: string): Scenario {
  const file = basename(path);
  if (!existsSync(path)) throw problem(`there is no file ${path}`, 'give the path of a YAML file');
  const { about = '', node, objects, rows } = readYaml(path);
  if (typeof node !== 'string' || !Array.isArray(objects) || !Array.isArray(rows)) {
    const message = `${file} is not a scenario`;
    throw problem(message, 'it needs node (a name), objects (a list) and rows (a list)');
  }
  if (!objects.some(({ kind, metadata }) => kind === 'Node' && metadata?.name === node)) {
    throw problem(`${file} has no Node ${node}`, 'add it to objects, with podCIDR and InternalIP');
  }
  return { file, about, node, objects, rows: rows.map((row) => readRow(file, row)) };
}

function readYaml(path: string): Partial<Omit<Scenario, 'file' | 'rows'> & { rows: unknown[] }> {
  try {
    return parse(readFileSync(path, 'utf8')) ?? {};
  } catch (error) {
    if (!(error instanceof YAMLParseError)) throw error;
    throw problem(`${path}: ${error.message.split('\n')[0]}`, 'correct the YAML');
  }
}

/** Throws KubetunError KT_SCENARIO. */
export function readRow(file: string, text: unknown): Row {
  const parts = String(text)
    .split('|')
    .map((part) => part.trim());
  const [rule = '', what = '', way = '', outcome = ''] = parts;
  const [, from = '', to = '', port, protocol = ''] = WAY.exec(way) ?? [];
  const proto = PROTOCOLS[protocol];
  const echo = proto === PROTO_ICMP;
  const addresses = parseAddress(from) !== null && parseAddress(to) !== null;
  if (parts.length !== 4 || !addresses || proto === undefined || echo !== (port === undefined)) {
    throw problem(`${file}: a row cannot be read: ${text}`, `write it as ${FORM}`);
  }
  const row = { rule, what, way, outcome, from, to, port: Number(port ?? 0), proto };
  const known = DROP_REASONS.slice(1).some(([name]) => name === DROP.exec(outcome)?.[1]);
  if (known || outcome === 'reject' || placesOf(row).every((place) => PLACE.test(place)))
    return row;
  throw problem(`${file}: no outcome is called ${JSON.stringify(outcome)}`, `use ${OUTCOMES}`);
}

function problem(message: string, next: string): KubetunError {
  return new KubetunError('KT_SCENARIO', message, next, { usage: true });
}

/** The places of an outcome that names places. */
function placesOf({ outcome }: Row): string[] {
  return outcome.replace(ONE_OF, '').split(/\s+/);
}

/** Addresses of places that a row names. */
export function addressesOf(row: Row): string[] {
  return placesOf(row).flatMap((place) => PLACE.exec(place)?.[1] ?? []);
}

/** The expected drop reason of a row; else null. */
export function reasonOf({ outcome }: Row): string | null {
  return DROP.exec(outcome)?.[1] ?? null;
}

/** True if the results of all tries match a row. `drop` without a reason matches any drop. */
export function agrees(row: Row, seen: string[]): boolean {
  if (ONE_OF.test(row.outcome)) return seen.length === 1 && placesOf(row).includes(seen[0]!);
  const reason = reasonOf(row);
  const expected = reason !== null || row.outcome === 'reject' ? [row.outcome] : placesOf(row);
  const got = seen.map((word) => (word === 'drop' && reason !== null ? row.outcome : word));
  return [...new Set(expected)].sort().join() === [...got].sort().join();
}
