// Builds the bundle of the datapath worker, so that the first start of an agent is faster.
import { workerUrl } from '../datapath/worker/bundle.ts';

await workerUrl(console.error);
