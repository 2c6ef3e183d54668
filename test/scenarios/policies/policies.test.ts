// Policies of YAML files beside this one, and by hand what they let pass, held against compile and pipeline of both nodes and
// against the naive evaluator: every pair of ends, both ports, three protocols. A line of `expect` is
// `allow|deny FROM > TO [:PORT][/PROTOCOL]`, the last one that fits holds, and without one everything passes. FROM and TO are
// lists of `*` (everybody), `pods`, `x` (pods of a namespace), `x/a`, `*/a`, `nodes`, `node1`, `outside`, `out`.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import type { OraclePolicy } from '../../support/policy-oracle.ts';
import { ADDRESSES, NODES, OUTSIDE, PODS, PolicyWorld, PROTOCOLS } from './world.ts';

interface Case {
  about: string;
  policies: ({ in: string; audit?: boolean } & OraclePolicy['spec'])[];
  expect: string[];
}

interface Cell {
  from: string;
  to: string;
  port: number;
  protocol: string;
}

interface Line {
  allow: boolean;
  fits(cell: Cell): boolean;
}

const LINE = /^(allow|deny) (\S+) > (\S+)(?: (?::(\d+))?(?:\/([A-Z]+))?)?$/;
const END = /^(?:\*|pods|nodes|outside|[xyz]|[xyz*]\/[abc])$/;
const ENDS = Object.keys(ADDRESSES);
const POD_NAMES = PODS.map(({ namespace, name }) => `${namespace}/${name}`);
const CELLS: Cell[] = ENDS.flatMap((from) =>
  ENDS.filter((to) => POD_NAMES.includes(from) || POD_NAMES.includes(to)).flatMap((to) =>
    Object.keys(PROTOCOLS).flatMap((protocol) =>
      [80, 81].map((port) => ({ from, to, port, protocol })),
    ),
  ),
);

const folder = import.meta.dirname;
for (const file of readdirSync(folder).filter((name) => name.endsWith('.yaml'))) {
  const { about, cases } = parse(readFileSync(join(folder, file), 'utf8'));
  describe(`${file}: ${about}`, () => {
    for (const item of cases as Case[]) {
      test(item.about, (t) => {
        const world = new PolicyWorld(item.policies.map(policyOf));
        const lines = item.expect.map(readLine);
        const wrong = CELLS.flatMap((cell) => complain(world, lines, cell));
        assert.deepEqual(wrong, []);
        t.diagnostic(`${CELLS.length} decisions`);
      });
    }
  });
}

function policyOf({ in: namespace, audit, ...spec }: Case['policies'][0], n: number): OraclePolicy {
  const annotations: Record<string, string> = audit ? { 'kubetun.dev/audit': 'true' } : {};
  return { metadata: { namespace, name: `policy-${n}`, annotations }, spec };
}

function complain(world: PolicyWorld, lines: Line[], cell: Cell): string[] {
  const { from, to, port, protocol } = cell;
  const expected = isFree(cell) || (lines.findLast((line) => line.fits(cell))?.allow ?? true);
  const passes = world.passes(from, to, protocol, port);
  const mayTalk = world.mayTalk(from, to, protocol, port);
  if (passes === expected && mayTalk === expected) return [];
  return [
    `${from} > ${to} :${port}/${protocol}: ${expected}, datapath ${passes}, evaluator ${mayTalk}`,
  ];
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
