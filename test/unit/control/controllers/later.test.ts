import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { StatusError } from '../../../../control/apiserver/status.ts';
import { later } from '../../../../control/controllers/queue.ts';

for (const [what, error, turns] of [
  ['for now is tried again in a second', new StatusError(500, 'InternalError', 'no space'), 2],
  ['for good is reported, and not tried again', new Error('wrong'), 1],
] as [string, Error, number][]) {
  test(`a task that fails ${what}`, async (t) => {
    const reported = mock.method(console, 'error', () => {});
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let done = 0;
    later(() => {
      if (done++ === 0) throw error;
    });
    assert.equal(done, 0, 'never within the call');
    await null;
    t.mock.timers.tick(1000);
    await null;
    reported.mock.restore();
    assert.equal(done, turns);
    assert.equal(reported.mock.callCount(), 1);
  });
}
