// Every row of test/scenarios as real packets, on the datapath and on the nftables proxy. Both must
// do what the row says and what its virtual walk does.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PROXIES } from '../../control/agent-options.ts';
import { answerLive } from '../scenarios/live/run.ts';
import { NOT_IN_NFTABLES } from '../scenarios/not-in-nftables.ts';
import { agrees, ownFiles, readRow, readScenario, type Scenario } from '../scenarios/row.ts';
import { walk } from '../scenarios/walk.ts';
import { assertGone } from '../support/lab.ts';

const NAME = 'e2e-rows';
const scenarios = ownFiles().map(readScenario);

/**
 * Rows of services.yaml, each with a different wrong outcome, and their actual results.
 */
const WRONG: [row: string, instead: string[]][] = [
  ['10.244.1.9 -> 10.96.0.50:80/tcp | 10.244.1.2:8080', ['10.244.1.2:8080', '10.244.2.2:9090']],
  ['10.244.1.9 -> 10.244.2.2:9090/tcp | 10.244.2.2:9090*', ['10.244.2.2:9090']],
  ['10.244.1.9 -> 203.0.113.10/icmp | 203.0.113.10', ['203.0.113.10*']],
  ['203.0.113.10 -> 172.18.0.11:30053/udp | reject', ['10.244.1.2:5353*', '10.244.2.2:5353*']],
  ['10.244.1.9 -> 10.96.0.50:81/tcp | drop source-range', ['reject']],
  ['10.244.1.9 -> 10.96.0.99:80/tcp | reject', ['drop']],
];
const services = scenarios.find(({ file }) => file === 'services.yaml')!;
const wrong: Scenario = {
  ...services,
  file: 'wrong.yaml',
  rows: WRONG.map(([row]) => readRow('wrong.yaml', `rule | what | ${row}`)),
};

for (const proxy of PROXIES) {
  test(`${proxy}: real packets follow every scenario row, and a wrong row is detected`, async (t) => {
    const results = await answerLive(NAME, proxy, [...scenarios, wrong]);
    assertGone(NAME);
    const found = results.pop()!.answer;
    const rows = results.flatMap(({ scenario, answer }) =>
      scenario.rows.map((row, i) => {
        const [live, walked] = [answer.seen[i]!, walk(scenario, row)];
        const { rule, what, way, outcome } = row;
        const text = `${scenario.file}: ${rule}: ${what}: ${way}: ${outcome}`;
        const beyond = proxy === 'nftables' && NOT_IN_NFTABLES.includes(rule);
        const agree = agrees(row, live) && agrees(row, walked);
        return { beyond, agree, text: `${text}, but ${live}; walked ${walked}` };
      }),
    );
    const beyond = rows.filter((row) => row.beyond);
    const agree = rows.filter((row) => row.agree).length;
    t.diagnostic(`${proxy}: ${agree} of ${rows.length} rows agree, ${beyond.length} are beyond it`);
    for (const { text } of beyond) t.diagnostic(`docs/adr/0014: ${text}`);
    const differ = rows.filter((row) => !row.agree && !row.beyond).map(({ text }) => text);
    assert.deepEqual([...differ, ...results.flatMap(({ answer }) => answer.counters)], []);

    assert.deepEqual(
      found.seen,
      WRONG.map(([, instead]) => instead),
    );
    assert.ok(wrong.rows.every((row, i) => !agrees(row, found.seen[i]!)));
    const counted = [
      'drops unallocated: 100, by the rows 0',
      'drops source-range: 0, by the rows 100',
    ];
    assert.deepEqual(found.counters, proxy === 'kubetun' ? counted : []);
  });
}
