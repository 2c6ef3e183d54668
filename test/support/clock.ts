import { FakeClock } from '../unit/control/agent/fake-clock.ts';

/** A clock for code with promises: after each timer, what follows from it runs before the next. */
export class TestClock extends FakeClock {
  async pass(ms: number): Promise<void> {
    const endMs = this.nowMs() + ms;
    for (let dueMs = this.nextMs; dueMs <= endMs; dueMs = this.nextMs) {
      this.runNext();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.advance(endMs - this.nowMs());
  }
}
