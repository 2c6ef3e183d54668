import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, test } from 'node:test';

const module = join(import.meta.dirname, '../../../control/interrupt.ts');

/** Starts a program with `onInterrupt`, sends signals once it is ready, and waits for its end. */
async function interrupt(program: string, ...signals: NodeJS.Signals[]) {
  const script = `import { onInterrupt } from '${module}'; setInterval(() => {}, 1e9); ${program}`;
  const flags = ['--disable-warning=ExperimentalWarning', '--input-type=module-typescript', '-e'];
  const child = spawn(process.execPath, [...flags, script], { stdio: 'pipe' });
  let text = '';
  child.stderr.on('data', (chunk: Buffer) => {
    text += chunk;
  });
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk;
    const next = signals.shift();
    if (next) child.kill(next);
  });
  const [code, signal] = await once(child, 'close');
  return { code, signal, text };
}

describe('an interrupted command', () => {
  const CLEAN = `onInterrupt(async () => { console.log('cleans'); await new Promise((r) => setTimeout(r, 300)); });`;

  test('cleans up and ends with the code that shells give for the signal', async () => {
    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      const ended = await interrupt(`${CLEAN} console.log('ready');`, signal);
      assert.deepEqual(ended, { code, signal: null, text: 'ready\ncleans\n' });
    }
  });

  test('is not ended by a second signal while it cleans up', async () => {
    const ended = await interrupt(`${CLEAN} console.log('ready');`, 'SIGINT', 'SIGTERM');
    assert.deepEqual(ended, { code: 130, signal: null, text: 'ready\ncleans\n' });
  });

  test('reports why it could not clean up', async () => {
    const ended = await interrupt(
      `onInterrupt(() => { throw new Error('no'); }); console.log('ready');`,
      'SIGTERM',
    );
    assert.equal(ended.code, 143);
    assert.match(ended.text, /the end after SIGTERM failed: no/);
  });

  test('ends by the signal, without cleaning up, once onInterrupt is disarmed', async () => {
    const program = `const disarm = ${CLEAN.replace(/;$/, '')}; disarm(); console.log('ready');`;
    const { signal, text } = await interrupt(program, 'SIGINT');
    assert.deepEqual([signal, text], ['SIGINT', 'ready\n']);
  });
});
