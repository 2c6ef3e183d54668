// A real HAProxy gets its configurations from an Applier.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { Agent } from 'node:http';
import { after, before, describe, test } from 'node:test';
import type { Certificate } from '../../../../../control/ingress/model.ts';
import { makePem, PROGRAM } from '../haproxy.ts';
import { backend, Echo, planOf, TestHaproxy } from './haproxy.ts';

const echoes = ['one', 'two', 'three'].map((name) => new Echo(name));
const proxy = new TestHaproxy();
let ports: number[] = [];
let one = 0;
let two = 0;
let three = 0;

const certificate = (name: string, hosts: string[]): Certificate => {
  const { crt, key } = makePem(name);
  return { secret: `default/${hosts[0]}`, hosts, isDefault: false, pem: crt + key };
};

/** Answers of requests at the same time, each with its own connection. */
const answers = (count: number, host = 'a.test') =>
  Promise.all(Array.from({ length: count }, () => proxy.get(host)));

/** Reloads come at most once a second. */
const settle = () => pollUntil(() => proxy.applier.fault === null);

async function pollUntil(holds: () => Promise<boolean> | boolean): Promise<void> {
  for (let i = 0; i < 500 && !(await holds()); i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.ok(await holds());
}

describe('an HAProxy', { skip: !existsSync(PROGRAM) && `${PROGRAM} is not installed` }, () => {
  before(async () => {
    ports = await Promise.all(echoes.map((echo) => echo.listen()));
    [one = 0, two = 0, three = 0] = ports;
    await proxy.apply(planOf({ 'a.test/': 'a_x_80' }, [backend('a_x_80', [one])]));
    await proxy.start();
    await proxy.applier.turn();
  });
  after(async () => {
    await proxy.close();
    for (const echo of echoes) echo.close();
  });

  test('starts with the first configuration', async () => {
    assert.equal(proxy.applier.fault, null);
    assert.equal(await proxy.get('a.test'), '200 one');
    assert.match(await proxy.get('b.test'), /^404 /);
  });

  test('gets and loses endpoints without a reload, and a request under way ends well', async () => {
    const pid = await proxy.worker();
    const slow = proxy.get('a.test', '/slow');
    await pollUntil(() => echoes[0]!.waiting === 1);
    await proxy.apply(planOf({ 'a.test/': 'a_x_80' }, [backend('a_x_80', [two, three])]));
    assert.deepEqual(new Set(await answers(8)), new Set(['200 two', '200 three']));
    assert.match(await proxy.sockets.ask('show servers state a_x_80'), new RegExp(`s${one} `));
    echoes[0]!.answerSlow();
    assert.equal(await slow, '200 one');
    await pollUntil(async () => {
      await proxy.applier.turn();
      return !(await proxy.sockets.ask('show servers state a_x_80')).includes(`s${one} `);
    });
    await proxy.apply(planOf({ 'a.test/': 'a_x_80' }, [backend('a_x_80', [])]));
    assert.match(await proxy.get('a.test'), /^503 /);
    await proxy.apply(planOf({ 'a.test/': 'a_x_80' }, [backend('a_x_80', [one])]));
    assert.equal(await proxy.get('a.test'), '200 one');
    assert.equal(await proxy.worker(), pid);
  });

  test('gets a leaving endpoint back', async () => {
    const slow = proxy.get('a.test', '/slow');
    await pollUntil(() => echoes[0]!.waiting === 1);
    const pid = await proxy.worker();
    for (const list of [[two], [one], [two], [one]]) {
      await proxy.apply(planOf({ 'a.test/': 'a_x_80' }, [backend('a_x_80', list)]));
    }
    assert.equal(await proxy.get('a.test'), '200 one');
    echoes[0]!.answerSlow();
    assert.equal(await slow, '200 one');
    assert.equal(await proxy.worker(), pid);
  });

  const both = () => [backend('a_x_80', [one]), backend('b_x_80', [two])];

  test('reloads for a new backend while requests go on, and none fails', async () => {
    const pid = await proxy.worker();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const failures: string[] = [];
    let isDone = false;
    const ask = async (own?: Agent) => {
      while (!isDone) {
        const answer = await proxy.get('a.test', '/', own).catch(String);
        if (answer !== '200 one') failures.push(answer);
      }
    };
    const asking = [ask(), ask(agent)];
    for (let i = 0; i < 3; i++) {
      const more = Array.from({ length: i }, (_, n) => backend(`more_x_${n}`, []));
      await proxy.apply(planOf({ 'a.test/': 'a_x_80', 'b.test/': 'b_x_80' }, [...both(), ...more]));
      await settle();
    }
    isDone = true;
    await Promise.all(asking);
    agent.destroy();
    assert.deepEqual(failures, []);
    assert.notEqual(await proxy.worker(), pid);
    assert.equal(await proxy.get('b.test'), '200 two');
  });

  test('gets other routes without a reload', async () => {
    await proxy.apply(planOf({ 'a.test/': 'a_x_80', 'b.test/': 'b_x_80' }, both()));
    await pollUntil(async () => {
      await proxy.applier.turn();
      return (
        proxy.applier.fault === null && !(await proxy.sockets.ask('show stat')).includes('more')
      );
    });
    const pid = await proxy.worker();
    await proxy.apply(planOf({ 'a.test/': 'b_x_80', 'c.test/deep': 'a_x_80' }, both()));
    const found = await Promise.all([
      ...[proxy.get('a.test'), proxy.get('b.test'), proxy.get('c.test', '/deep/er')],
    ]);
    assert.deepEqual(found, ['200 two', '404 no rule matches', '200 one']);
    assert.equal(await proxy.worker(), pid);
  });

  test('takes a map of many routes in parts', async () => {
    const pid = await proxy.worker();
    const many = Object.fromEntries(
      Array.from({ length: 3000 }, (_, i) => [`host-${i}.test/a/long/path`, 'b_x_80']),
    );
    await proxy.apply(planOf({ 'a.test/': 'a_x_80', ...many }, both()));
    assert.equal(await proxy.get('host-2999.test', '/a/long/path/x'), '200 two');
    assert.equal(await proxy.get('a.test'), '200 one');
    assert.equal(await proxy.worker(), pid);
  });

  test('gets, rotates and loses certificates without a reload', async () => {
    const pid = await proxy.worker();
    const routes = { 'a.test/': 'a_x_80' };
    const apply = (...list: Certificate[]) => proxy.apply(planOf(routes, both(), list));
    await apply(certificate('first', ['a.test', 'b.test']));
    assert.equal(await proxy.certificateFor('a.test'), 'first');
    await apply(certificate('second', ['a.test', 'c.test']));
    assert.equal(await proxy.certificateFor('a.test'), 'second');
    assert.equal(await proxy.certificateFor('c.test'), 'second');
    assert.match(await proxy.certificateFor('b.test'), /Fallback/);
    await apply();
    assert.match(await proxy.certificateFor('a.test'), /Fallback/);
    assert.equal(proxy.applier.fault, null);
    assert.equal(await proxy.worker(), pid);
  });

  test('keeps its configuration when it refuses another one, and still gets endpoints', async () => {
    const plan = (port: number) => planOf({ 'a.test/': 'a_x_80' }, [backend('a_x_80', [port])]);
    await proxy.apply(plan(one));
    await settle();
    const pid = await proxy.worker();
    await proxy.apply(plan(two), (config) => `${config}  nonsense\n`);
    await pollUntil(() => proxy.refusals.length > 0);
    assert.match(proxy.applier.fault!, /refuses the configuration: .*nonsense/);
    assert.match(proxy.refusals.join(), /nonsense/);
    assert.equal(await proxy.get('a.test'), '200 two');
    assert.ok(!proxy.files.read()!.get('haproxy.cfg')!.includes('nonsense'));
    assert.equal(await proxy.worker(), pid);
    await proxy.apply(plan(three));
    await settle();
    assert.equal(await proxy.get('a.test'), '200 three');
  });

  test('is taken over by another controller without a reload', async () => {
    const plan = (list: number[]) => planOf({ 'a.test/': 'a_x_80' }, [backend('a_x_80', list)]);
    await proxy.apply(plan([one]));
    await settle();
    const pid = await proxy.worker();
    await proxy.sockets.ask(`set server a_x_80/s${one} state maint`);
    proxy.applier = proxy.newApplier();
    await proxy.apply(plan([one, two]));
    assert.deepEqual(new Set(await answers(8)), new Set(['200 one', '200 two']));
    assert.equal(await proxy.worker(), pid);
    assert.equal(proxy.applier.counts.reloads, 0);
  });

  test('is reloaded if the controller before ended in the middle of a change', async () => {
    const pid = await proxy.worker();
    proxy.files.mark();
    proxy.applier = proxy.newApplier();
    await proxy.apply(planOf({ 'a.test/': 'a_x_80' }, [backend('a_x_80', [two])]));
    assert.notEqual(await proxy.worker(), pid);
    assert.equal(await proxy.get('a.test'), '200 two');
    assert.equal(proxy.files.isMarked, false);
  });

  test('comes up with the newest configuration after its death', async () => {
    await proxy.kill();
    await proxy.apply(planOf({ 'b.test/': 'b_x_80' }, [backend('b_x_80', [three])]));
    assert.notEqual(proxy.applier.fault, null);
    await proxy.start();
    assert.equal(await proxy.get('b.test'), '200 three');
    await proxy.applier.turn();
    assert.equal(proxy.applier.fault, null);
    assert.equal(proxy.applier.counts.reloads, 1);
  });

  test('loses what a stranger has changed, at the next full comparison', async () => {
    await proxy.sockets.ask(`set server b_x_80/s${three} state maint`);
    await proxy.sockets.ask(`clear map ${proxy.files.pathOf('routes.map')}`);
    assert.match(await proxy.get('b.test'), /^503/);
    await proxy.applier.turn(true);
    assert.equal(await proxy.get('b.test'), '200 three');
  });
});
