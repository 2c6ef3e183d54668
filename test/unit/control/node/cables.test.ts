import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseFilters, splitAnswers, wantedFilters } from '../../../../control/node/cables.ts';

/** The output of tc in iproute2 6.1 for a correct cable. */
const TEXT = `filter protocol ip pref 1 u32 chain 0 
filter protocol ip pref 1 u32 chain 0 fh 800: ht divisor 1 
filter protocol ip pref 1 u32 chain 0 fh 800::800 order 2048 key ht 800 bkt 0 *flowid 1:1 not_in_hw 
  match 0af40102/ffffffff at 12
filter protocol arp pref 2 u32 chain 0 
filter protocol arp pref 2 u32 chain 0 fh 801: ht divisor 1 
filter protocol arp pref 2 u32 chain 0 fh 801::800 order 2048 key ht 801 bkt 0 *flowid 1:1 not_in_hw 
  match 00000000/00000000 at 0
filter protocol all pref 3 u32 chain 0 
filter protocol all pref 3 u32 chain 0 fh 802: ht divisor 1 
filter protocol all pref 3 u32 chain 0 fh 802::800 order 2048 key ht 802 bkt 0 terminal flowid not_in_hw 
  match 00000000/00000000 at 0
	action order 1: mirred (Egress Redirect to device spoofed) stolen
	index 1 ref 1 bind 1

`;
const WANTED = wantedFilters('10.244.1.2', 'spoofed');

test('reads the filters of a cable without numbers that the kernel assigns', () => {
  assert.deepEqual(parseFilters(TEXT), WANTED);
  assert.deepEqual(
    parseFilters(TEXT.replaceAll('800', '8a0').replace('index 1', 'index 7')),
    WANTED,
  );
});

test('separates the answers about several cables, also without filters', () => {
  for (const separator of ['qdisc a 0: root \n', 'qdisc a 0: root \nqdisc clsact ffff: \n']) {
    const answers = ['', TEXT, '', '', TEXT].map((text) => text + separator).join('');
    const filters = splitAnswers(answers, 5).map(parseFilters);
    assert.deepEqual(filters, [[], WANTED, [], [], WANTED]);
    assert.throws(() => splitAnswers(answers, 3), /does not show/);
  }
  assert.deepEqual(splitAnswers('', 0), []);
  assert.throws(() => splitAnswers('', 1), /does not show/);
});

const CHANGES: [string, (text: string) => string][] = [
  ['none at all', () => ''],
  ['the address of another pod', (text) => text.replace('0af40102', '0af40103')],
  ['a wider mask', (text) => text.replace('0af40102/ffffffff', '0af40000/ffff0000')],
  ['a recreated device', (text) => text.replace('device spoofed', 'device *')],
  ['no redirect', (text) => text.slice(0, text.indexOf('filter protocol all'))],
  ['another order', (text) => text.replaceAll('all pref 3', 'all pref 9')],
  [
    'another filter that passes everything',
    (text) =>
      text.replace(
        'filter protocol arp pref 2 u32 chain 0 \n',
        `filter protocol ip pref 1 u32 chain 0 fh 800::801 order 2049 key ht 800 bkt 0 *flowid 1:1 
  match 00000000/00000000 at 0
filter protocol arp pref 2 u32 chain 0 
`,
      ),
  ],
  ['a filter of another kind', (text) => `filter protocol all pref 1 matchall chain 0 \n${text}`],
];
for (const [what, change] of CHANGES) {
  test(`reports different filters: ${what}`, () => {
    assert.notDeepEqual(parseFilters(change(TEXT)), WANTED);
  });
}
