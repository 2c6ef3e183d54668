// Entry of a measuring process: `process.ts hit|new FLOWS POLICIES`. Each point has its own
// process, so that V8's optimisations for one do not affect the next. Prints ns a packet.
import { runBundled } from '../bundled.ts';

await runBundled(new URL('./point.ts', import.meta.url));
