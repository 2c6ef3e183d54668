// The policies of the YAML files in this folder, with handwritten expectations. A line of `expect`
// is `allow|deny FROM > TO [:PORT][/PROTOCOL]`. The last matching line counts; without one
// everything passes. FROM and TO are lists of `*` (all), `pods`, `x` (pods of a namespace), `x/a`,
// `*/a`, `nodes`, `node1`, `outside`, `out`. A `live` case also runs with real connections.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { OraclePolicy } from '../../support/policy-oracle.ts';
import { ADDRESSES, NODES, OUTSIDE, PODS, PROTOCOLS } from './world.ts';

export interface Cell {
  from: string;
  to: string;
  port: number;
  protocol: string;
}

export interface PolicyCase {
  about: string;
  live: boolean;
  policies: OraclePolicy[];
  /** The handwritten expectation. */
  expects(cell: Cell): boolean;
}

export interface PolicyFile {
  about: string;
  cases: PolicyCase[];
}

interface CaseText {
  about: string;
  live?: boolean;
  policies: ({ in: string; audit?: boolean } & OraclePolicy['spec'])[];
  expect: string[];
}

interface Line {
  allow: boolean;
  fits(cell: Cell): boolean;
}

const LINE = /^(allow|deny) (\S+) > (\S+)(?: (?::(\d+))?(?:\/([A-Z]+))?)?$/;
const END = /^(?:\*|pods|nodes|outside|[xyz]|[xyz*]\/[abc])$/;
const ENDS = Object.keys(ADDRESSES);
const POD_NAMES = PODS.map(({ namespace, name }) => `${namespace}/${name}`);

/** Every pair of ends with at least one pod, both ports, three protocols. */
export const CELLS: Cell[] = ENDS.flatMap((from) =>
  ENDS.filter((to) => POD_NAMES.includes(from) || POD_NAMES.includes(to)).flatMap((to) =>
    Object.keys(PROTOCOLS).flatMap((protocol) =>
      [80, 81].map((port) => ({ from, to, port, protocol })),
    ),
  ),
);

export function readPolicyFiles(): PolicyFile[] {
  const folder = import.meta.dirname;
  const names = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
  return names.map((name) => {
    const { about, cases } = parse(readFileSync(join(folder, name), 'utf8'));
    return { about: `${name}: ${about}`, cases: (cases as CaseText[]).map(readCase) };
  });
}

function readCase({ about, live = false, policies, expect }: CaseText): PolicyCase {
  const lines = expect.map(readLine);
  return {
    ...{ about, live, policies: policies.map(policyOf) },
    expects: (cell) => isFree(cell) || (lines.findLast((line) => line.fits(cell))?.allow ?? true),
  };
}

function policyOf({ in: namespace, audit, ...spec }: CaseText['policies'][0], n: number) {
  const annotations: Record<string, string> = audit ? { 'kubetun.dev/audit': 'true' } : {};
  return { metadata: { namespace, name: `policy-${n}`, annotations }, spec };
}

/** A pod always reaches itself, and its node reaches it. */
function isFree({ from, to }: Cell): boolean {
  const pod = PODS[POD_NAMES.indexOf(to)];
  return from === to || pod?.node === ADDRESSES[from];
}

function readLine(text: string): Line {
  const [, word, from = '', to = '', port, protocol] = LINE.exec(text) ?? [];
  assert.ok(word, `cannot read ${text}`);
  const [froms, tos] = [from.split(','), to.split(',')];
  for (const term of [...froms, ...tos]) assert.ok(term in ADDRESSES || END.test(term), term);
  return {
    allow: word === 'allow',
    fits: (cell) =>
      froms.some((term) => isOf(cell.from, term)) &&
      tos.some((term) => isOf(cell.to, term)) &&
      (port === undefined || cell.port === Number(port)) &&
      (protocol === undefined || cell.protocol === protocol),
  };
}

function isOf(end: string, term: string): boolean {
  if (term === '*' || term === end) return true;
  if (term === 'nodes') return end in NODES;
  if (term === 'outside') return end in OUTSIDE;
  const [namespace, name] = end.split('/');
  if (name === undefined) return false;
  return term === 'pods' || term === namespace || term === `*/${name}`;
}
