// Entry of a measuring process: `process.ts hit|new FLOWS POLICIES`. A process of its own for each
// point, so that what V8 learned at one does not colour the next. Prints ns a packet.
import { runBundled } from '../bundled.ts';

await runBundled(new URL('./point.ts', import.meta.url));
