import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { COUNTERS, DROP_REASONS } from '../../../../datapath/pipeline/verdict.ts';
import { BACKEND, createTestDatapath, POD, VIP } from '../../../support/datapath.ts';
import { SYN, tcp4, udp4 } from '../../../support/packets.ts';

test('a refusal that is longer than the packet whose place it takes leaves the next packet alone', () => {
  for (let bytes = 0; bytes < 64; bytes++) {
    const t = createTestDatapath();
    const refused = udp4(`${POD}:4000`, `${VIP}:9`, new Array(bytes).fill(1));
    const [first, second] = t.send(
      refused,
      tcp4(`${POD}:4000`, `${VIP}:80`, SYN, [], { partial: true }),
    );
    assert.equal(first!.verdict, 'reply');
    assert.ok(first!.packet.ipOk && first!.packet.l4Ok);
    assert.equal(second!.verdict, 'forward');
    assert.equal(second!.packet.dst, BACKEND);
    assert.ok(second!.packet.ipOk && second!.packet.l4Ok, `behind ${bytes} bytes`);
  }
});

test('every drop reason and counter is described in docs/datapath.md', () => {
  const text = readFileSync(new URL('../../../../docs/datapath.md', import.meta.url), 'utf8');
  for (const [name, meaning] of [...DROP_REASONS.slice(1), ...COUNTERS]) {
    assert.ok(text.includes(`| \`${name}\` | ${meaning} |`), name);
  }
});
