import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Container, Pod } from '../../../../../control/kube/kinds.ts';
import { withCapabilities } from '../../../../../lab/pods/sandbox/capabilities.ts';
import { identityIn, identityOf } from '../../../../../lab/pods/sandbox/identity.ts';

/** A user that no machine has. */
const UID = 4_000_000;

type PodContext = NonNullable<Pod['spec']>['securityContext'];

function identity(own: Container['securityContext'], ofPod: PodContext = {}) {
  const container: Container = { name: 'c', ...(own && { securityContext: own }) };
  const pod: Pod = {
    metadata: { name: 'web', namespace: 'shop', uid: 'u-1' },
    spec: { containers: [container], ...(ofPod && { securityContext: ofPod }) },
  };
  return identityOf(container, pod);
}

test('a container runs as root by default', () => {
  const { uid, gid, noNewPrivileges, home } = identity(undefined);
  assert.deepEqual({ uid, gid, noNewPrivileges }, { uid: 0, gid: 0, noNewPrivileges: false });
  assert.equal(home, '/root');
});

test('a user without an entry in /etc/passwd has group 0 and / as its home', () => {
  const { uid, gid, groups, home } = identity({ runAsUser: UID });
  assert.deepEqual({ uid, gid, groups, home }, { uid: UID, gid: 0, groups: [], home: '/' });
});

test("the container's user and group win over the pod's", () => {
  const { uid, gid } = identity({ runAsUser: UID, runAsGroup: 7 }, { runAsUser: 1, runAsGroup: 2 });
  assert.deepEqual([uid, gid], [UID, 7]);
});

test('fsGroup and supplemental groups are groups of every container', () => {
  const { groups } = identity({ runAsUser: UID }, { fsGroup: 2000, supplementalGroups: [5, 6] });
  assert.deepEqual(groups, [5, 6, 2000]);
});

for (const [what, own, ofPod, why] of [
  ['no user', {}, { runAsNonRoot: true }, 'container has runAsNonRoot and image will run as root'],
  [
    'user 0',
    { runAsUser: 0 },
    { runAsNonRoot: true },
    "container's runAsUser breaks non-root policy",
  ],
] as const) {
  test(`runAsNonRoot with ${what} keeps the container waiting`, () => {
    assert.throws(() => identity(own, ofPod), {
      reason: 'CreateContainerConfigError',
      message: `${why} (pod: "web_shop(u-1)", container: c)`,
    });
  });
}

test('a container can allow what its pod forbids', () => {
  assert.equal(identity({ runAsNonRoot: false }, { runAsNonRoot: true }).uid, 0);
});

test('the command line sets user and groups, and no_new_privs on request', () => {
  const found = identity({ runAsUser: UID, allowPrivilegeEscalation: false }, { fsGroup: 9 });
  const argv = withCapabilities({ name: 'c' }, ['id'], found);
  assert.deepEqual(argv.slice(1, 5), [
    `--reuid=${UID}`,
    '--regid=0',
    '--groups=9',
    '--no-new-privs',
  ]);
});

test('reads the user of a process, also without groups', () => {
  const status = 'Uid:\t0\t1000\t0\t0\nGid:\t0\t7\t0\t0\nGroups:\t \nNStgid:\t5\nNoNewPrivs:\t1\n';
  assert.deepEqual(identityIn(status), { uid: 1000, gid: 7, groups: [], noNewPrivileges: true });
  assert.deepEqual(identityIn(status.replace('\t \n', '\t5 6 \n')).groups, [5, 6]);
});
