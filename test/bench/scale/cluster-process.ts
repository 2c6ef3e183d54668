// Entry of a measuring process: `cluster-process.ts NODES SERVICES ENDPOINTS POLICIES`. Measures a
// node in a cluster of that size: its rules, publishes from row to image, and first packets of
// connections. Prints JSON.
import { runBundled } from '../bundled.ts';

await runBundled(new URL('./cluster-point.ts', import.meta.url));
