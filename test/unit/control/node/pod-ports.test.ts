// The parts that need no device: refused bodies, and the file that remembers ports.
// test/e2e/tun.test.ts attaches real devices.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { recall, remember } from '../../../../control/node/memory.ts';
import { type PodDevice, PodPorts, recallPorts } from '../../../../control/node/pod-ports.ts';
import type { Tun } from '../../../../datapath/io/tun.ts';
import { FakeClock } from '../../../support/clock.ts';
import { fakeLog } from '../sync/fake-sink.ts';

const folder = mkdtempSync(join(tmpdir(), 'kubetun-ports-'));
after(() => rmSync(folder, { recursive: true }));
const GOOD: PodDevice = { netns: '/run/netns/none', device: 'eth0', address: '10.244.1.2' };

/** Ports over fake devices. Each path has its own inode. */
function portsOf(...pods: PodDevice[]) {
  const removed: string[] = [];
  const clock = new FakeClock();
  const memory = join(folder, 'arena.ports');
  const attached = pods.map((pod) => ({
    ...{ pod, inode: 0 },
    port: { tun: { name: pod.address, isAttached: () => true } as Tun, address: 1 },
  }));
  const engine = {
    addPort: () => assert.fail('nothing is attached here'),
    removePort: async ({ name }: Tun) => void removed.push(name),
  };
  const ports = new PodPorts({ engine, memory, attached, clock, log: fakeLog() });
  return { ports, removed, clock, memory };
}

const REFUSED: [what: string, body: unknown, message: RegExp][] = [
  ['nothing', undefined, /port: netns is absent, expected the absolute path/],
  ['a relative path', { ...GOOD, netns: 'netns' }, /netns is "netns", expected the absolute path/],
  ['a name that is too long', { ...GOOD, device: 'x'.repeat(16) }, /expected the name of a TUN/],
  ['a name with a slash', { ...GOOD, device: 'a/b' }, /device is "a\/b", expected the name/],
  ['no address', { ...GOOD, address: 7 }, /address is 7, expected the IPv4 address of the pod/],
  ['no pod address', { ...GOOD, address: '0.0.0.0' }, /address is "0\.0\.0\.0", expected the IPv4/],
  ['no namespace', GOOD, /\/run\/netns\/none is no network namespace, which the pod 10\.244\.1\.2/],
];
for (const [what, body, message] of REFUSED) {
  test(`a port is refused for ${what}`, async () => {
    const { ports } = portsOf();
    await assert.rejects(ports.add(body), message);
    assert.deepEqual(ports.list(), []);
    ports.stop();
  });
}

test('ports of one namespace are removed, and the file names the others', async () => {
  const other = { ...GOOD, netns: '/run/netns/other', address: '10.244.1.3' };
  const { ports, removed, memory } = portsOf(GOOD, other);
  await assert.rejects(ports.remove({}), /port: netns is absent/);
  assert.deepEqual(await ports.remove({ netns: GOOD.netns }), [{ ...other, attached: true }]);
  assert.deepEqual(removed, [GOOD.address]);
  assert.deepEqual(recall(memory), [other]);
  ports.stop();
});

test('ports of a namespace whose path is gone are removed at the next check', async () => {
  const { ports, removed, clock } = portsOf(GOOD);
  clock.advance(4000);
  await null;
  assert.deepEqual([removed, ports.list()], [[GOOD.address], []]);
  ports.stop();
  assert.equal(clock.waiting, 0);
});

test('the next agent skips a device that is gone, and logs it', () => {
  const memory = join(folder, 'gone.ports');
  const log = fakeLog();
  assert.deepEqual(recallPorts(memory, log), [], 'without a file');
  remember(memory, [GOOD]);
  assert.deepEqual(recallPorts(memory, log), []);
  assert.equal(log.lines.length, 1);
  mkdirSync(join(folder, 'folder.ports'));
  assert.deepEqual(
    recallPorts(join(folder, 'folder.ports'), log),
    [],
    'and without a readable one',
  );
});
