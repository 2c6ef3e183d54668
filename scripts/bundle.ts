// Builds the bundle of the datapath worker, so that the first start of an agent does not wait for it.
import { workerUrl } from '../datapath/worker/bundle.ts';

await workerUrl(console.error);
