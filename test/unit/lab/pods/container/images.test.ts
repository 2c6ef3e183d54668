import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missingProgram, resolveProgram } from '../../../../../lab/pods/container/images.ts';

const ROOT = '/srv/project';

function argvOf(container: Parameters<typeof resolveProgram>[0]): string[] {
  const program = resolveProgram(container, ROOT);
  assert.ok('argv' in program, JSON.stringify(program));
  return program.argv;
}

/** The file that links of containers lead to. */
const RUN = '/run/image/lab/apps/run.sh';

test('agnhost has its program at its own path, for arguments and for commands', () => {
  const image = 'registry.k8s.io/e2e-test-images/agnhost:2.39';
  const words = ['netexec', '--http-port=80'];
  for (const container of [{ args: words }, { command: ['/agnhost', ...words] }]) {
    const program = resolveProgram({ image, ...container }, ROOT);
    assert.ok('argv' in program);
    assert.deepEqual(program.argv, ['/agnhost', ...words]);
    assert.equal(program.links['/agnhost'], RUN);
  }
});

for (const [image, argv] of [
  ['gcr.io/google-samples/hello-app:2.0', ['/hello-app', '--version=2.0']],
  ['gcr.io/google-samples/kubernetes-bootcamp:v1', ['/kubernetes-bootcamp', '--version=1']],
  ['hashicorp/http-echo', ['/http-echo']],
  ['traefik/whoami:v1.10', ['/whoami']],
  ['registry.k8s.io/echoserver:1.4', ['/echo']],
  ['registry.k8s.io/serve_hostname', ['/agnhost', 'serve-hostname']],
  ['httpd:2.4', ['httpd-foreground']],
  ['nginxinc/nginx-unprivileged', ['nginx', '--port=8080']],
  ['curlimages/curl', ['curl']],
  ['alpine:3', ['/bin/sh']],
] as const) {
  test(`${image} runs ${argv.join(' ')}`, () => {
    const program = resolveProgram({ image }, ROOT);
    assert.ok('argv' in program, JSON.stringify(program));
    assert.deepEqual(program.argv, argv);
    const isOwn = Object.keys(program.links).some((path) => path.endsWith(argv[0]));
    assert.equal(isOwn, !['curl', '/bin/sh'].includes(argv[0]));
  });
}

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
  test(`${image} runs the pause program`, () => {
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

for (const image of ['example.com/team/app:1', 'nginx-prometheus-exporter', '']) {
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

test('an unknown image needs a command: arguments alone name no program', () => {
  const program = resolveProgram({ image: 'example.com/app', args: ['--port=80'] }, ROOT);
  assert.ok('reason' in program);
  assert.equal(program.reason, 'ErrImagePull');
});

const WHY = 'exec: "serve": executable file not found in $PATH';

test('a missing program of a built-in image is an error of the container, with its image', () => {
  const { reason, message } = missingProgram('busybox', program('busybox'), WHY);
  assert.equal(reason, 'CreateContainerError');
  assert.ok(message.startsWith(`${WHY} (image busybox): `), message);
});

test('a missing program of an unknown image is an image that cannot be pulled', () => {
  const image = 'example.com/shop:1';
  const { reason, message } = missingProgram(image, program(image), WHY);
  assert.equal(reason, 'ErrImagePull');
  assert.ok(message.startsWith(`image ${image} is not built into the lab, and ${WHY}: `), message);
});

function program(image: string) {
  const found = resolveProgram({ image, command: ['serve'] }, ROOT);
  assert.ok('argv' in found);
  return found;
}
