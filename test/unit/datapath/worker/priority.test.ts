import assert from 'node:assert/strict';
import { once } from 'node:events';
import { getPriority } from 'node:os';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { raisePriority, WORKER_NICE } from '../../../../datapath/worker/priority.ts';

const MODULE = new URL('../../../../datapath/worker/priority.ts', import.meta.url);

test('raises the priority of the calling thread and of no other', async () => {
  const before = getPriority();
  const code = `
    const { parentPort } = require('node:worker_threads');
    import(${JSON.stringify(MODULE.href)}).then(({ raisePriority }) => {
      const own = require('node:os').getPriority();
      parentPort.postMessage([raisePriority(), own, require('node:os').getPriority()]);
    });`;
  const [[isRaised, from, to]] = await once(new Worker(code, { eval: true }), 'message');
  assert.equal(from, before);
  assert.equal(to, isRaised ? WORKER_NICE : before);
  assert.equal(getPriority(), before);
});

test('keeps the priority without the capability', () => {
  const refused = () => {
    throw new Error('EACCES');
  };
  assert.equal(raisePriority(refused), false);
});
