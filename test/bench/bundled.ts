// Runs a benchmark program in the form of the product's worker: as one module.
import { rmSync } from 'node:fs';
import { BUNDLE_FOLDER, bundle } from '../../datapath/worker/bundle.ts';

/** Bundles the program and runs it in this process, with the arguments of this process. */
export async function runBundled(program: URL): Promise<void> {
  const url = new URL(`bench-${process.pid}.mjs`, BUNDLE_FOLDER);
  await bundle(program, url);
  process.setSourceMapsEnabled(true);
  try {
    await import(url.href);
  } finally {
    rmSync(url);
  }
}
