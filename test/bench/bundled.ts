// Runs a benchmark program in the form of the product's worker: as one module.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BUNDLE_FOLDER, bundle } from '../../datapath/worker/bundle.ts';

/**
 * Bundles the program and runs it with the arguments of this process, in a process of its own: the
 * bundler's heap and machine code would affect the figures.
 */
export async function runBundled(program: URL): Promise<void> {
  const url = new URL(`bench-${process.pid}.mjs`, BUNDLE_FOLDER);
  await bundle(program, url);
  try {
    const args = ['--enable-source-maps', fileURLToPath(url), ...process.argv.slice(2)];
    process.exitCode = spawnSync(process.execPath, args, { stdio: 'inherit' }).status ?? 1;
  } finally {
    rmSync(url);
  }
}
