import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planNarrowSteering } from '../../../../control/node/narrow.ts';
import {
  diffRules,
  formatRule,
  parseRule,
  type Rule,
  undoRules,
} from '../../../../control/node/rule.ts';
import { apiEndpoint } from '../../../../control/node/steerer.ts';
import {
  bypassLines,
  planSteering,
  type SteeringInput,
} from '../../../../control/node/steering.ts';

const INPUT: SteeringInput = {
  tun: 'kt0',
  uplink: 'eth0',
  mtu: 1450,
  nodeAddress: '172.18.0.11',
  serviceRange: '10.96.0.0/16',
  podRanges: ['10.244.0.0/16'],
  ownPodRanges: ['10.244.0.0/16'],
  nodePorts: [30_000, 32_767],
  snatPorts: [40_000, 65_534],
  ephemeralPorts: [32_768, 39_999],
};
const PLAN = planSteering(INPUT);
const UNTOUCHED: Rule[] = [
  { pref: 0, action: 'lookup local' },
  { pref: 32_766, action: 'lookup main' },
  { pref: 32_767, action: 'lookup default' },
];

/** Applies the rule lines of a batch. Throws for lines that the kernel refuses. */
function carryOut(rules: Rule[], lines: string[]): Rule[] {
  const texts = rules.map(formatRule);
  for (const line of lines) {
    const [, verb, text] = /^rule (add|del) (.*)$/.exec(line)!;
    const at = texts.indexOf(text!);
    if (verb === 'add') {
      assert.equal(at, -1, `${text} was not there`);
      texts.push(text!);
    } else {
      assert.notEqual(at, -1, `${text} was there`);
      texts.splice(at, 1);
    }
    const local = texts.some((t) => t.endsWith('lookup local'));
    assert.ok(local, `local delivery works after: ${line}`);
  }
  return texts.map((text) => parseText(text));
}

function parseText(text: string): Rule {
  const known = [...PLAN.rules, ...UNTOUCHED].find((r) => formatRule(r) === text);
  return known ?? { pref: Number(text.split(' ')[1]), action: text.replace(/^pref \d+ /, '') };
}

test('plans a node with these exact lines', () => {
  assert.deepEqual(PLAN.setup, [
    'link set dev kt0 mtu 1450 txqueuelen 2000 up',
    'route replace default dev kt0 src 172.18.0.11 table 100',
    'route replace 10.96.0.0/16 dev kt0 src 172.18.0.11',
    'route replace 10.244.0.0/16 dev kt0 src 172.18.0.11 table 103',
  ]);
  assert.deepEqual(PLAN.sysctls, [
    ['ip_forward', '1'],
    ['ip_early_demux', '0'],
    ['conf/kt0/accept_local', '1'],
    ['conf/kt0/rp_filter', '0'],
  ]);
  assert.deepEqual(PLAN.rules.map(formatRule), [
    'pref 1 to 10.96.0.0/16 iif kt0 prohibit',
    'pref 1 to 172.18.0.11 iif eth0 ipproto tcp dport 32768-39999 goto 32000',
    'pref 2 to 127.0.0.0/8 iif lo goto 32000',
    'pref 3 iif lo ipproto icmp lookup 100',
    'pref 4 to 172.18.0.11 iif lo ipproto tcp dport 30000-32767 lookup 100',
    'pref 4 to 172.18.0.11 iif lo ipproto tcp dport 40000-65534 lookup 100',
    'pref 5 to 172.18.0.11 iif lo ipproto udp dport 30000-32767 lookup 100',
    'pref 5 to 172.18.0.11 iif lo ipproto udp dport 40000-65534 lookup 100',
    'pref 6 to 172.18.0.11 iif lo goto 32000',
    'pref 7 iif lo lookup 103',
    'pref 8 iif lo lookup 101',
    'pref 10 iif kt0 goto 32000',
    'pref 11 iif lo goto 32000',
    'pref 12 ipproto tcp lookup 100',
    'pref 13 ipproto udp lookup 100',
    'pref 14 ipproto icmp lookup 100',
    'pref 15 ipproto sctp lookup 100',
    'pref 16 to 169.254.1.1 goto 32000',
    'pref 17 from 10.244.0.0/16 blackhole',
    'pref 18 to 10.244.0.0/16 blackhole',
    'pref 32001 lookup 102',
  ]);
});

test('ip-rule JSON reads back as the rule it came from', () => {
  const json = [
    { priority: 1, src: 'all', dst: '10.96.0.0', dstlen: 16, iif: 'kt0', action: 'prohibit' },
    {
      priority: 4,
      src: 'all',
      dst: '172.18.0.11',
      iif: 'lo',
      ipproto: 'tcp',
      dport_start: 30000,
      dport_end: 32767,
      table: '100',
    },
    { priority: 2, src: 'all', dst: '127.0.0.0', dstlen: 8, iif: 'lo', goto: 32000 },
    { priority: 17, src: '10.244.0.0', srclen: 16, action: 'blackhole' },
  ];
  const plan = PLAN.rules.map(formatRule);
  for (const rule of json)
    assert.ok(plan.includes(formatRule(parseRule(rule))), `${rule.priority}`);
});

test('a second apply does nothing', () => {
  const lines = diffRules(UNTOUCHED, PLAN.rules, PLAN.localPref);
  assert.equal(lines[0], 'rule add pref 32000 lookup local');
  assert.equal(lines.at(-1), 'rule del pref 0 lookup local');
  const tun = lines.indexOf('rule add pref 10 iif kt0 goto 32000');
  assert.ok(
    tun < lines.indexOf('rule add pref 12 ipproto tcp lookup 100'),
    'no loop through the TUN',
  );
  const after = carryOut(UNTOUCHED, lines);
  assert.deepEqual(diffRules(after, PLAN.rules, PLAN.localPref), []);
});

test('a changed range replaces only its rules, and foreign rules stay', () => {
  const stranger: Rule = { pref: 50, from: '192.0.2.0/24', action: 'lookup 7' };
  const steered = [
    ...carryOut(UNTOUCHED, diffRules(UNTOUCHED, PLAN.rules, PLAN.localPref)),
    stranger,
  ];
  const other = planSteering({ ...INPUT, ownPodRanges: ['10.1.0.0/16'] });
  assert.deepEqual(diffRules(steered, other.rules, other.localPref), [
    'rule add pref 17 from 10.1.0.0/16 blackhole',
    'rule add pref 18 to 10.1.0.0/16 blackhole',
    'rule del pref 17 from 10.244.0.0/16 blackhole',
    'rule del pref 18 to 10.244.0.0/16 blackhole',
  ]);
});

test('undo restores the node from any partial state', () => {
  const lines = diffRules(UNTOUCHED, PLAN.rules, PLAN.localPref);
  for (let done = 0; done <= lines.length; done++) {
    const half = carryOut(UNTOUCHED, lines.slice(0, done));
    const undo = undoRules(half);
    const after = carryOut(half, undo).map(formatRule).sort();
    assert.deepEqual(after, UNTOUCHED.map(formatRule).sort(), `after ${done} lines`);
  }
});

test('the bypass passes packets for the node, never those for Services or from pods', () => {
  const lines = bypassLines('add', INPUT);
  assert.deepEqual(
    lines.filter((line) => line.includes('tcp') || line.includes('icmp goto')),
    [
      'rule add pref 2 iif lo ipproto icmp goto 32000',
      'rule add pref 8 from 10.244.0.0/16 iif eth0 ipproto tcp lookup 100',
      'rule add pref 9 to 172.18.0.11 iif eth0 ipproto icmp goto 32000',
      'rule add pref 9 to 172.18.0.11 iif eth0 ipproto tcp dport 1-29999 goto 32000',
      'rule add pref 9 to 172.18.0.11 iif eth0 ipproto tcp dport 32768-39999 goto 32000',
    ],
  );
  const opened: Rule[] = [
    ...UNTOUCHED.slice(1),
    ...PLAN.rules,
    { pref: 9, to: '172.18.0.11', iif: 'eth0', protocol: 'icmp', action: 'goto 32000' },
    { pref: PLAN.localPref, action: 'lookup local' },
  ];
  assert.deepEqual(
    diffRules(opened, PLAN.rules, PLAN.localPref),
    ['rule del pref 9 to 172.18.0.11 iif eth0 ipproto icmp goto 32000'],
    'the next agent removes the bypass',
  );
});

test('the rule for the API server precedes all captured addresses', () => {
  const api = apiEndpoint('https://172.18.0.1:6443', INPUT.serviceRange);
  assert.deepEqual(api, { address: '172.18.0.1', port: 6443 });
  const input = { ...INPUT, ...(api && { api }) };
  for (const { rules } of [planSteering(input), planNarrowSteering(input)]) {
    const at = rules.findIndex(({ to, protocol }) => to === '172.18.0.1' && protocol === 'tcp');
    const captured = rules.findIndex(({ action }) => action === 'lookup 101');
    assert.ok(at !== -1 && rules[at]!.pref < rules[captured]!.pref);
    assert.match(rules[at]!.action, /^goto /);
  }
});

test('an API server with a Service address or a name has no rule', () => {
  assert.equal(apiEndpoint('https://10.96.0.1', INPUT.serviceRange), undefined);
  assert.equal(apiEndpoint('https://api.example:6443', INPUT.serviceRange), undefined);
});
