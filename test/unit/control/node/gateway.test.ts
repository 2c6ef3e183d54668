import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planGatewaySteering } from '../../../../control/node/gateway.ts';
import { diffRules, formatRule, undoRules } from '../../../../control/node/rule.ts';

const PLAN = planGatewaySteering({
  tun: 'kt0',
  uplink: 'eth0',
  mtu: 1500,
  address: '172.18.0.2',
  fabricRange: '172.18.0.0/16',
  publicRange: '198.51.100.0/24',
});
const UNTOUCHED = [
  { pref: 0, action: 'lookup local' },
  { pref: 32_766, action: 'lookup main' },
  { pref: 32_767, action: 'lookup default' },
];

test('plans a gateway with these exact lines, local addresses first', () => {
  assert.deepEqual(diffRules(UNTOUCHED, PLAN.rules, PLAN.localPref), [
    'rule add pref 1 iif kt0 goto 32766',
    'rule add pref 2 to 198.51.100.0/24 iif lo lookup 100',
    'rule add pref 3 to 172.18.0.0/16 iif lo goto 32766',
    'rule add pref 4 iif lo ipproto icmp lookup 100',
    'rule add pref 5 iif lo goto 32766',
    'rule add pref 6 from 172.18.0.0/16 iif eth0 lookup 100',
    'rule add pref 7 from 172.18.0.0/16 blackhole',
    'rule add pref 8 lookup 100',
  ]);
});

test('removes its own guard and keeps another one of the lab', () => {
  const guard = { pref: 31_000, iif: 'eth0', action: 'blackhole' };
  const undone = undoRules([...UNTOUCHED, ...PLAN.rules, guard]);
  assert.deepEqual(
    undone,
    PLAN.rules.toReversed().map((rule) => `rule del ${formatRule(rule)}`),
  );
});
