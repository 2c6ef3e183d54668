import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import type { Container } from '../../../../../control/kube/kinds.ts';
import {
  withCapabilities,
  withCapabilitiesOf,
  withDefaults,
} from '../../../../../lab/pods/sandbox/capabilities.ts';

type Context = NonNullable<Container['securityContext']>;
const of = (securityContext: Context) => withCapabilities({ name: 'a', securityContext }, ['x']);
const set = (names: string) => ['/usr/bin/setpriv', `--bounding-set=-all${names}`, '--', 'x'];

describe('capabilities of a container', () => {
  test('are those of containerd by default', () => {
    const names = [
      ...['chown', 'dac_override', 'fowner', 'fsetid', 'kill', 'setgid', 'setuid', 'setpcap'],
      ...['net_bind_service', 'net_raw', 'sys_chroot', 'mknod', 'audit_write', 'setfcap'],
    ];
    const wanted = set(names.map((name) => `,+${name}`).join(''));
    assert.deepEqual(of({}), wanted);
    assert.deepEqual(withDefaults(['x']), wanted);
  });

  test('are dropped, then added, by names with and without CAP_', () => {
    assert.deepEqual(of({ capabilities: { drop: ['ALL'] } }), set(''));
    const capabilities = { drop: ['ALL'], add: ['NET_ADMIN', 'CAP_NET_RAW'] };
    assert.deepEqual(of({ capabilities }), set(',+net_admin,+net_raw'));
    const [, all] = of({ capabilities: { add: ['ALL'] } });
    assert.equal(all!.split('+').length - 1, 41);
    assert.deepEqual(of({ privileged: true }), ['x']);
  });

  test('with an unknown name keep the container waiting', () => {
    assert.throws(() => of({ capabilities: { add: ['FLY'] } }), {
      reason: 'CreateContainerError',
      message: /securityContext\.capabilities: "FLY" is unknown, expected ALL or a name/,
    });
  });

  test('of an exec command equal those of the container', () => {
    const status = readFileSync('/proc/self/status', 'utf8');
    const mask = BigInt(`0x${/^CapBnd:\s*(\w+)$/m.exec(status)![1]}`);
    const [first, names = ''] = withCapabilitiesOf(process.pid, ['x']);
    const count = mask.toString(2).replaceAll('0', '').length;
    if (count >= 41) assert.equal(first, 'x');
    else assert.equal(names.split('+').length - 1, count);
    assert.deepEqual(withCapabilitiesOf(2 ** 30, ['x']), ['x']);
  });
});
