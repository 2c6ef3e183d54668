import type { ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Attach, start, stop, VIP } from '../topology.ts';
import type { Twin } from '../twin.ts';

const PROCESS = fileURLToPath(new URL('../engine-process.ts', import.meta.url));
const ARENA = '/dev/shm/ktbench-arena';

/** The datapath and the agent's steering, with directly published Services and silent pods. */
export function kubetun(attach: Attach, pods = 2): Twin {
  let child: ChildProcess | null = null;
  return {
    name: `kubetun ${attach}`,
    datagrams: true,
    attach,
    address: VIP,
    async begin(services) {
      child ??= await start(
        'node',
        [process.execPath, PROCESS, ARENA, attach, String(pods)],
        'ready',
      );
      await publish(child, services);
    },
    async end() {
      if (!child) return;
      await stop(child);
      child = null;
      rmSync(ARENA, { force: true });
    },
  };
}

/** Pods by veth, as in a real cluster. */
export const kubetunVeth = kubetun('veth');
/** Pods whose devices the datapath serves itself. */
export const kubetunTun = kubetun('tun');

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
