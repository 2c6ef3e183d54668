// Attacks on parts of a lab's network that no agent owns: the lab reports and restores them.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { podLink } from '../../lab/places/names.ts';
import { checkPlan } from '../../lab/plan/apply.ts';
import { planLab } from '../../lab/plan/plan.ts';
import { checkCables } from '../../lab/pods/sandbox/cables.ts';
import { requireLab } from '../../lab/state/record.ts';
import {
  assertGone,
  clientPod,
  ON_CABLES,
  serverPod,
  startLab,
  type TestLab,
  until,
} from '../support/lab.ts';

const NAME = 'e2e-network';
const INTERNET = '203.0.113.10';
const LINK = podLink('default', 'near');
const NODES = ['node/node1', 'node/node2', 'cloud', 'internet'];
let lab: TestLab;

const pings = (from: string, to: string) => lab.succeeds(from, 'ping', '-c1', '-W1', to);
/** Parts of the network that differ from the plan, as `lab status` reports them. */
async function missing(): Promise<string[]> {
  const record = requireLab(NAME);
  const plan = planLab(NAME, record.topology);
  return [...(await checkPlan(plan)), ...(await checkCables(record))];
}

/** Runs a command while the supervisor cannot repair its effect; returns what is missing then. */
async function attack(place: string, command: string): Promise<string> {
  const { pid } = requireLab(NAME).supervisor!;
  process.kill(pid, 'SIGSTOP');
  try {
    await lab.run(place, 'sh', '-c', command);
    return (await missing()).join('\n');
  } finally {
    process.kill(pid, 'SIGCONT');
  }
}

/** Rules, routes and addresses of every place, without numbers and counts of the kernel. */
async function picture(): Promise<string[]> {
  const show = 'ip -4 rule; ip -4 route show table all | sort; ip -4 -br addr | sort';
  const texts = await Promise.all(NODES.map((place) => lab.run(place, 'sh', '-c', show)));
  return texts.map((text) => text.replaceAll(/@if\d+/g, ''));
}

const ATTACKS: Record<string, [place: string, command: string, said: RegExp]> = {
  'the rules that close the cloud': [
    'cloud',
    'ip rule del pref 31000; ip rule del pref 31000',
    /no rule pref 31000 iif eth0 blackhole/,
  ],
  'a route to the pods of another node': [
    'node/node1',
    'ip route del 10.244.2.0/24',
    /no route to 10\.244\.2\.0\/24/,
  ],
  'all routes of the main table': [
    'node/node2',
    'ip route flush table main',
    /no route to default/,
  ],
  'the gateway of pods': [
    'node/node1',
    'ip addr del 169.254.1.1/32 dev lo',
    /no link lo with 169\.254\.1\.1/,
  ],
  'the way to the internet': ['internet', 'ip route del default', /no route to default/],
  'a sysctl': ['node/node1', 'sysctl -qw net.ipv4.conf.all.rp_filter=1', /rp_filter is 1/],
  'the route to a pod': ['node/node1', 'ip route flush table 102', /cable pod\w+ to 10\.244\.1\./],
  'a cable that is set down': ['node/node1', `ip link set ${LINK} down`, /cable pod/],
  'a cable that is deleted': ['node/node1', `ip link del ${LINK}`, /cable pod/],
};

describe('the network of a lab is repaired', () => {
  before(() => {
    lab = startLab(NAME, [clientPod('near', 'node1'), serverPod('web', 'node2')]);
  });
  after(async () => {
    await lab.down();
    assertGone(NAME);
  });

  for (const [what, [place, command, said]] of Object.entries(ATTACKS)) {
    test(what, said.source.startsWith('cable') ? ON_CABLES : {}, async () => {
      const web = await lab.podIP('web');
      const was = await picture();
      assert.match(await attack(place, command), said);
      await until('nothing is missing', async () => (await missing()).length === 0);
      await until('it is made again', async () => {
        return JSON.stringify(await picture()) === JSON.stringify(was);
      });
      await until('a pod reaches another', () => pings('near', web));
      await until('and the internet', () => pings('near', INTERNET));
    });
  }
});
