import type { ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { start, stop, VIP } from '../topology.ts';
import type { Twin } from '../twin.ts';

const PROCESS = fileURLToPath(new URL('../engine-process.ts', import.meta.url));
const ARENA = '/dev/shm/ktbench-arena';

let child: ChildProcess | null = null;

/** The datapath and the agent's steering, with directly published Services. */
export const kubetun: Twin = {
  name: 'kubetun',
  datagrams: true,
  address: VIP,
  async begin(services) {
    child ??= await start('node', [process.execPath, PROCESS, ARENA], 'ready');
    await publish(child, services);
  },
  async end() {
    if (!child) return;
    await stop(child);
    child = null;
    rmSync(ARENA, { force: true });
  },
};

/** Resolves when the datapath serves that many. */
function publish(engine: ChildProcess, services: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const onText = (text: string) => {
      if (!text.includes(`published ${services}\n`)) return;
      engine.stdout?.off('data', onText);
      resolve();
    };
    engine.stdout?.on('data', onText);
    engine.once('exit', () => reject(new Error('the engine ended')));
    engine.stdin?.write(`${services}\n`);
  });
}
