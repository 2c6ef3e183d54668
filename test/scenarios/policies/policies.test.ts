// Compares the handwritten expectations with compile and pipeline of both nodes and with the naive
// evaluator.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CELLS, type Cell, type PolicyCase, readPolicyFiles } from './cases.ts';
import { PolicyWorld } from './world.ts';

for (const { about, cases } of readPolicyFiles()) {
  describe(about, () => {
    for (const item of cases) {
      test(item.about, (t) => {
        const world = new PolicyWorld(item.policies);
        const wrong = CELLS.flatMap((cell) => complain(world, item, cell));
        assert.deepEqual(wrong, []);
        t.diagnostic(`${CELLS.length} decisions`);
      });
    }
  });
}

function complain(world: PolicyWorld, { expects }: PolicyCase, cell: Cell): string[] {
  const { from, to, port, protocol } = cell;
  const expected = expects(cell);
  const passes = world.passes(from, to, protocol, port);
  const mayTalk = world.mayTalk(from, to, protocol, port);
  if (passes === expected && mayTalk === expected) return [];
  return [
    `${from} > ${to} :${port}/${protocol}: ${expected}, datapath ${passes}, evaluator ${mayTalk}`,
  ];
}
