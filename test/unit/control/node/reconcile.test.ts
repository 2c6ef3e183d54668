import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { diffSteering, missingAddress, type Observed } from '../../../../control/node/apply.ts';
import { CapturedRoutes } from '../../../../control/node/captured.ts';
import { planNarrowSteering } from '../../../../control/node/narrow.ts';
import { type Part, Reconciler } from '../../../../control/node/reconcile.ts';
import { diffRules, formatRule, type Rule } from '../../../../control/node/rule.ts';
import { planSteering, type SteeringInput } from '../../../../control/node/steering.ts';
import { FakeClock } from '../../../support/clock.ts';

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
const KERNEL: Rule[] = [
  { pref: 32_766, action: 'lookup main' },
  { pref: 32_767, action: 'lookup default' },
];
const SYSCTLS = new Map(PLAN.sysctls);

/** A node that matches its plan. */
function whole(): Observed {
  return {
    rules: [...PLAN.rules, { pref: PLAN.localPref, action: 'lookup local' }, ...KERNEL],
    routes: [
      { dst: 'default', dev: 'kt0', table: '100', prefsrc: '172.18.0.11' },
      { dst: '10.96.0.0/16', dev: 'kt0', prefsrc: '172.18.0.11' },
      { dst: '10.244.0.0/16', dev: 'kt0', table: '103', prefsrc: '172.18.0.11' },
    ],
    links: [
      { ifname: 'kt0', mtu: 1450, txqlen: 2000, flags: ['UP'], addr_info: [] },
      {
        ...{ ifname: 'eth0', mtu: 1450 },
        addr_info: [{ family: 'inet', local: '172.18.0.11', scope: 'global' }],
      },
    ],
    sysctl: (path) => SYSCTLS.get(path) ?? null,
  };
}

describe('differences of a node from its plan', () => {
  test('none on a complete node', () => {
    assert.deepEqual(diffSteering(PLAN, whole()), []);
    assert.deepEqual(missingAddress('172.18.0.11', whole().links), []);
  });

  test('the route of the table, after a flush', () => {
    const { routes, ...rest } = whole();
    const missing = diffSteering(PLAN, { ...rest, routes: routes.slice(1) });
    assert.deepEqual(missing, ['route replace default dev kt0 src 172.18.0.11 table 100']);
  });

  test('a route that leads elsewhere, or has another source', () => {
    for (const wrong of [{ dev: 'eth0' }, { prefsrc: '169.254.1.1' }]) {
      const { routes, ...rest } = whole();
      const missing = diffSteering(PLAN, {
        ...rest,
        routes: [{ ...routes[0]!, ...wrong }, ...routes.slice(1)],
      });
      assert.ok(missing.includes('route replace default dev kt0 src 172.18.0.11 table 100'));
    }
  });

  test('a route in the table that is not in the plan', () => {
    for (const table of ['100', '103']) {
      const observed = whole();
      observed.routes.push({ dst: '10.0.0.0/8', dev: 'eth0', table });
      const line = `ip route del 10.0.0.0/8 dev eth0 table ${table}`;
      assert.deepEqual(diffSteering(PLAN, observed), [line]);
    }
  });

  test('the device is down, has another MTU or queue length, or is gone', () => {
    const line = 'link set dev kt0 mtu 1450 txqueuelen 2000 up';
    for (const wrong of [{ flags: [] }, { mtu: 1400 }, { txqlen: 500 }]) {
      const { links, ...rest } = whole();
      const missing = diffSteering(PLAN, { ...rest, links: [{ ...links[0]!, ...wrong }] });
      assert.deepEqual(missing, [line]);
    }
    assert.deepEqual(diffSteering(PLAN, { ...whole(), links: [] }), [line]);
  });

  test('every rule and the kernel rules, after a flush; local addresses come first', () => {
    const missing = diffSteering(PLAN, { ...whole(), rules: [] });
    assert.deepEqual(missing.slice(0, 3), [
      'rule add pref 32000 lookup local',
      'rule add pref 32766 lookup main',
      'rule add pref 32767 lookup default',
    ]);
    assert.deepEqual(
      missing.slice(3),
      PLAN.rules.map((rule) => `rule add ${formatRule(rule)}`),
    );
  });

  test('a sysctl that has changed, and one that is absent', () => {
    const sysctl = (path: string) => (path === 'ip_forward' ? '0' : null);
    const missing = diffSteering(
      { ...PLAN, sysctls: PLAN.sysctls.slice(0, 2) },
      { ...whole(), sysctl },
    );
    assert.deepEqual(missing, ['ip_forward is 0, not 1', 'ip_early_demux is absent, not 0']);
  });

  test('the dummy address of a narrow plan', () => {
    const plan = planNarrowSteering(INPUT);
    const observed = {
      ...whole(),
      rules: [...plan.rules, { pref: 100, action: 'lookup local' }, ...KERNEL],
    };
    assert.deepEqual(diffSteering(plan, observed), [
      'addr replace 192.0.0.8/32 dev kt0 scope host',
    ]);
    const addr_info = [{ family: 'inet', local: '192.0.0.8', scope: 'host' }];
    observed.links[0]!.addr_info = addr_info;
    assert.deepEqual(diffSteering(plan, observed), []);
  });

  test("the node's address", () => {
    assert.match(
      missingAddress('172.18.0.12', whole().links)[0]!,
      /no device has .* 172\.18\.0\.12/,
    );
  });

  test('routes to captured addresses', () => {
    const routes = new CapturedRoutes('kt0', '172.18.0.11', ['192.0.2.1', '192.0.2.2']);
    assert.deepEqual(routes.diff(['192.0.2.1', '192.0.2.2']), []);
    assert.deepEqual(routes.diff(['192.0.2.2', '192.0.2.3']), [
      'route replace 192.0.2.1 dev kt0 src 172.18.0.11 table 101',
      'route del 192.0.2.3 table 101',
    ]);
  });
});

test('a complete node needs no line', () => {
  const { rules } = whole();
  assert.deepEqual(diffRules(rules, PLAN.rules, PLAN.localPref), []);
});

/** A system whose parts may be removed, and a log. */
function world(options: { isMendable?: boolean } = {}) {
  const clock = new FakeClock(1000);
  const gone = new Set<string>();
  const silentlyGone = new Set<string>();
  const logged: string[] = [];
  let looks = 0;
  let silentLooks = 0;
  let changed = false;
  let closed = false;
  const part: Part = {
    missing() {
      looks++;
      return [...gone, ...silentlyGone];
    },
    missingSilently() {
      silentLooks++;
      return [...silentlyGone];
    },
    mend() {
      if (options.isMendable === false) throw new Error('the kernel refuses');
      gone.clear();
      silentlyGone.clear();
    },
  };
  const line = (particulars: object, message: string) =>
    logged.push(`${message} ${JSON.stringify(particulars)}`);
  const reconciler = new Reconciler({
    parts: [part],
    events: {
      heard() {
        const was = changed;
        changed = false;
        return was;
      },
      close() {
        closed = true;
      },
    },
    ...{ clock, log: { info: line, warn: line, error: line } },
  });
  return {
    ...{ clock, gone, silentlyGone, logged, reconciler },
    looks: () => looks,
    silentLooks: () => silentLooks,
    isClosed: () => closed,
    change() {
      changed = true;
    },
  };
}

describe('the reconciler', () => {
  test('repairs after an event and logs the difference once', () => {
    const { clock, gone, logged, reconciler, change } = world();
    gone.add('a rule');
    change();
    clock.advance(500);
    assert.equal(gone.size, 0);
    const found = { foundMs: 1500, found: ['a rule'] };
    assert.deepEqual(reconciler.status(), { okAtMs: 1500, missing: [], sinceMs: null, ...found });
    assert.deepEqual(logged, [
      'the system differs from what the agent applied; repairing it {"missing":["a rule"]}',
      'the system is as wanted {"ms":0}',
    ]);
  });

  test('compares everything 4 s after its start, in case events were lost before', () => {
    const { clock, gone, looks } = world();
    clock.advance(3500);
    assert.equal(looks(), 0);
    gone.add('a rule');
    clock.advance(500);
    assert.equal(gone.size, 0);
  });

  test('compares every 4 s what changes without an event', () => {
    const { clock, silentlyGone, reconciler } = world();
    clock.advance(4000);
    silentlyGone.add('a sysctl');
    clock.advance(3500);
    assert.equal(silentlyGone.size, 1);
    clock.advance(500);
    assert.equal(silentlyGone.size, 0);
    assert.deepEqual(reconciler.status().found, ['a sysctl']);
  });

  test('compares everything once a minute on an idle system, and still notes it as complete', () => {
    const { clock, reconciler, looks, silentLooks } = world();
    clock.advance(4000);
    assert.equal(looks(), 1);
    clock.advance(59_500);
    assert.equal(looks(), 1);
    assert.equal(silentLooks(), 14);
    assert.ok(clock.monotonicMs() - reconciler.status().okAtMs <= 4000);
    clock.advance(500);
    assert.equal(looks(), 2);
  });

  test('shows a failed repair with its time, retries every second and logs it once', () => {
    const { clock, gone, logged, reconciler, looks } = world({ isMendable: false });
    gone.add('a route');
    clock.advance(4000);
    const missing = ['a route'];
    const found = { foundMs: 5000, found: missing };
    assert.deepEqual(reconciler.status(), { okAtMs: 1000, missing, sinceMs: 5000, ...found });
    assert.equal(logged.length, 2);
    assert.match(logged[1]!, /the kernel refuses/);
    const before = looks();
    clock.advance(1000);
    assert.ok(looks() > before);
    assert.equal(logged.length, 2);
    gone.clear();
    clock.advance(1000);
    const { okAtMs, missing: left, sinceMs } = reconciler.status();
    assert.deepEqual({ okAtMs, left, sinceMs }, { okAtMs: 7000, left: [], sinceMs: null });
    assert.match(logged[2]!, /the system is as wanted/);
  });

  test('closes its events when it stops', () => {
    const { clock, reconciler, isClosed } = world();
    reconciler.stop();
    assert.equal(clock.waiting, 0);
    assert.ok(isClosed());
  });
});
