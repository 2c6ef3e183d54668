// One point of `bench core`, see process.ts. Prints ns a packet.
import { warmUp } from '../../../datapath/worker/warm-up.ts';
import { measureHit, measureNew } from './measure.ts';
import { publishOne, World } from './world.ts';

// As the worker does.
warmUp();
const [what, ...numbers] = process.argv.slice(2) as [string, string, string];
const [flows, policies] = numbers.map(Number) as [number, number];
const isHit = what === 'hit';
const world = new World(flows, isHit ? 1 << 20 : 1 << 21, publishOne(policies));
console.log((isHit ? measureHit(world) : measureNew(world)).toFixed(2));
