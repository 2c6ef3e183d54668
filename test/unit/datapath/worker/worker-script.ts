// A worker for the keeper's tests. A control word selects the behaviour of the next worker.
import { workerData } from 'node:worker_threads';

const { control } = workerData as { control: Int32Array };
const life = Atomics.add(control, 2, 1);
const plan = control[4 + life]!;
if (plan === 1) throw new Error(`life ${life} fails before it is ready`);
Atomics.store(control, 1, 1);
Atomics.notify(control, 1);
if (plan === 2) throw new Error(`life ${life} fails`);
// Blocks as the real worker does: its event loop never runs. A worker of plan 3 is stuck: it does
// not tick.
while (Atomics.load(control, 0) === 0) if (plan !== 3) Atomics.add(control, 3, 1);
