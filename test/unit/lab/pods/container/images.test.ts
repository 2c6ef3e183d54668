import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolveProgram } from '../../../../../lab/pods/container/images.ts';

const ROOT = '/srv/project';

function argvOf(container: Parameters<typeof resolveProgram>[0]): string[] {
  const program = resolveProgram(container, ROOT);
  assert.ok('argv' in program, JSON.stringify(program));
  return program.argv;
}

test("agnhost runs the built-in server on the project's Node", () => {
  const argv = argvOf({
    image: 'registry.k8s.io/e2e-test-images/agnhost:2.39',
    args: ['netexec', '--http-port=80'],
  });
  assert.equal(argv[0], `${ROOT}/node_modules/node/bin/node`);
  assert.deepEqual(argv.slice(-3), [`${ROOT}/lab/apps/netexec.ts`, 'netexec', '--http-port=80']);
});

test('agnhost without arguments pauses', () => {
  assert.equal(argvOf({ image: 'agnhost' }).at(-1), 'pause');
});

for (const image of [
  'pause',
  'pause:3.10',
  'registry.k8s.io/pause@sha256:abc',
  'localhost:5000/tools/pause:latest',
  'my-pause-container',
]) {
  test(`${image} is pause`, () => {
    assert.deepEqual(argvOf({ image }), ['/bin/sleep', 'infinity']);
  });
}

test('an unknown image runs its arguments, as busybox', () => {
  assert.deepEqual(argvOf({ image: 'busybox', args: ['sleep', '5'] }), ['sleep', '5']);
});

test('a command overrides the image', () => {
  const container = { image: 'debian:12', command: ['sleep'], args: ['5'] };
  assert.deepEqual(argvOf(container), ['sleep', '5']);
});

test("a command replaces the image's arguments too", () => {
  assert.deepEqual(argvOf({ image: 'pause', command: ['true'] }), ['true']);
});

test('arguments replace those of the image', () => {
  assert.deepEqual(argvOf({ image: 'pause', args: ['60'] }), ['/bin/sleep', '60']);
});

for (const image of ['example.com/team/app:1', 'busybox', '']) {
  test(`refuses ${JSON.stringify(image)} without a command and lists the built-in images`, () => {
    const program = resolveProgram({ image }, ROOT);
    assert.ok('reason' in program);
    assert.equal(program.reason, 'ErrImagePull');
    for (const known of ['agnhost', 'iperf3', 'nginx', 'pause']) {
      assert.ok(program.message.includes(known), program.message);
    }
    assert.doesNotMatch(program.message, /\n/);
  });
}
