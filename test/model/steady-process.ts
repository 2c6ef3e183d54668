// Entry: runs the pipeline over established connections until it is optimised, then marks start and
// end of the steady part in V8's trace.
import { BATCH, World } from '../bench/core/world.ts';

const WARM_UP_BATCHES = 40_000;
const STEADY_BATCHES = 40_000;

const world = new World(4096, 1 << 14);
let from = 0;

function spin(batches: number): void {
  for (let n = 0; n < batches; n++) {
    world.fill(from);
    world.run();
    from += BATCH;
  }
}

spin(WARM_UP_BATCHES);
console.log('STEADY BEGINS');
spin(STEADY_BATCHES);
console.log('STEADY ENDS');
