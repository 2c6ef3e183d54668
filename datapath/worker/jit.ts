// What V8 is told, and what is known of it. Import this file before the pipeline, in the worker and
// in benchmarks.
//
// JIT facts, measured on Node 24 (V8 13.6), established TCP packets at 1,000 flows:
// - An imported binding is loaded from its module's cell and checked at every use; a constant of
//   the module itself is folded into the code. The hot files therefore take their constants out of
//   the namespace into constants of their own: 113 -> 74 ns a packet.
// - A call that is not inlined costs 2 to 3 ns, and the default budget (920 bytes of bytecode per
//   function) ends in the middle of the pipeline: with the limits below everything of the hit path
//   is inlined: 74 -> 67 ns.
import { setFlagsFromString } from 'node:v8';

setFlagsFromString('--max-inlined-bytecode-size=2000');
setFlagsFromString('--max-inlined-bytecode-size-cumulative=6000');
