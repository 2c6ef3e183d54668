import { randomInt } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { ARENA_SIZES_DEFAULT, type Arena, type ArenaSizes } from '../arena/arena.ts';
import { type ArenaFile, openArenaFile } from '../arena/file.ts';
import { H_HELD_COUNT, H_HELD_RANGES, HELD_RANGES_MAX } from '../arena/layout.ts';
import { KubetunError } from '../error.ts';
import { nodeTimeouts, type Timeouts } from '../flow/timeouts.ts';
import { closeFile, eventfd, mapMemory, write } from '../io/sys.ts';
import { openTun, type Tun } from '../io/tun.ts';
import type { Range4 } from '../nat/image.ts';
import { ImageWriter } from '../nat/image-writer.ts';
import { CONTROL_READY, CONTROL_STOP, CONTROL_WORDS, type WorkerInput } from './protocol.ts';

const READY_MS = 10_000;
const RESTART_PAUSE_MS = 100;
const WORKER_URL = new URL('./loop.ts', import.meta.url);

export interface EngineOptions {
  /** A file on tmpfs; it is the datapath's memory and outlives the process. */
  arenaPath: string;
  /** The TUN device, made if it is not there, in the process's network namespace. */
  tunName: string;
  /** Another TUN device, to which the node sends what pods send with an address that is not theirs. */
  spoofedTunName?: string | null;
  /** Ranges of pods: their traffic waits for the first image, for their policies are not known before. */
  heldRanges?: Range4[];
  sizes?: ArenaSizes;
  /** How long flows live, those included that outlived the last process; a node's unless said. */
  timeouts?: Timeouts;
  /** Takes one line per notable event. */
  log?: (message: string) => void;
}

/** A node's datapath in a thread of this process: owns its arena and its TUN, publishes its images. */
export class Engine {
  readonly writer: ImageWriter;
  readonly arena: Arena;
  /** False where the last process's flows could not be taken over. */
  readonly survived: boolean;
  /** How many times the worker was started again after a crash. */
  restarts = 0;
  readonly #file: ArenaFile;
  readonly #tun: Tun;
  readonly #spoofed: Tun | null;
  readonly #wakeFd: number;
  readonly #wakeWord = mapMemory(8);
  readonly #input: Omit<WorkerInput, 'seed'>;
  readonly #log: (message: string) => void;
  #worker: Worker | null = null;
  #stopping = false;

  private constructor(options: EngineOptions, file: ArenaFile, tun: Tun, spoofed: Tun | null) {
    this.#file = file;
    this.#tun = tun;
    this.#spoofed = spoofed;
    this.arena = file.arena;
    this.survived = file.survived;
    this.#log = options.log ?? (() => {});
    this.#wakeFd = eventfd();
    new BigInt64Array(this.#wakeWord.buffer)[0] = 1n;
    this.writer = new ImageWriter(file.arena);
    this.writer.onPublished = () => this.wake();
    this.#input = {
      arenaPath: options.arenaPath,
      ports: [
        { name: tun.name, fd: tun.fd, spoofed: false },
        ...(spoofed ? [{ name: spoofed.name, fd: spoofed.fd, spoofed: true }] : []),
      ],
      wakeFd: this.#wakeFd,
      control: new Int32Array(new SharedArrayBuffer(CONTROL_WORDS * 4)),
    };
  }

  /**
   * Opens arena and device and starts the thread; flows and image of a killed predecessor go on. Resolves when
   * packets are served. Throws KubetunError (KT_ARENA_*, KT_TUN_*, KT_WORKER_START).
   */
  static async start(options: EngineOptions): Promise<Engine> {
    const sizes = options.sizes ?? ARENA_SIZES_DEFAULT;
    const file = openArenaFile(options.arenaPath, sizes, randomInt(1, 2 ** 31));
    let tun: Tun | null = null;
    let spoofed: Tun | null = null;
    try {
      tun = openTun(options.tunName);
      if (options.spoofedTunName) spoofed = openTun(options.spoofedTunName);
    } catch (error) {
      tun?.close();
      file.close();
      throw error;
    }
    hold(file.arena, options.heldRanges ?? []);
    // Written before the worker attaches: it goes by what the arena says, as every reader does.
    file.arena.timeouts.set(options.timeouts ?? nodeTimeouts());
    const engine = new Engine(options, file, tun, spoofed);
    await engine.#spawn();
    return engine;
  }

  get tunName(): string {
    return this.#tun.name;
  }

  /** Makes the worker look at the arena now. */
  wake(): void {
    write(this.#wakeFd, this.#wakeWord.address, 8);
  }

  /** Ends the thread and lets go of the arena. The TUN device and the arena's file stay. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const worker = this.#worker;
    if (worker) {
      const gone = new Promise((resolve) => worker.once('exit', resolve));
      Atomics.store(this.#input.control, CONTROL_STOP, 1);
      this.wake();
      await gone;
    }
    this.#tun.close();
    this.#spoofed?.close();
    closeFile(this.#wakeFd);
    this.#file.close();
  }

  async #spawn(): Promise<void> {
    const { control } = this.#input;
    Atomics.store(control, CONTROL_READY, 0);
    const workerData: WorkerInput = { ...this.#input, seed: randomInt(1, 2 ** 31) };
    const worker = new Worker(WORKER_URL, { workerData });
    this.#worker = worker;
    let failure: unknown = null;
    worker.on('error', (error) => {
      failure = error;
    });
    worker.on('exit', () => {
      this.#worker = null;
      if (!this.#stopping && Atomics.load(control, CONTROL_READY) === 1) this.#restart(failure);
    });
    const ready = Atomics.waitAsync(control, CONTROL_READY, 0, READY_MS);
    const gone = new Promise<string>((resolve) => worker.once('exit', () => resolve('gone')));
    const outcome = await Promise.race([ready.value, gone]);
    if (outcome === 'gone' || Atomics.load(control, CONTROL_READY) !== 1) {
      throw new KubetunError(
        'KT_WORKER_START',
        `the datapath of ${this.#tun.name} did not start`,
        failure instanceof Error ? failure.message : 'see the log',
        { cause: failure },
      );
    }
  }

  /** A crashed worker is a defect, but packets come first: another takes over the same arena. */
  #restart(failure: unknown): void {
    this.restarts++;
    const why = failure instanceof Error ? failure.message : 'it ended';
    this.#log(`datapath worker restarted (${this.restarts}): ${why}`);
    setTimeout(() => {
      if (this.#stopping) return;
      this.#spawn().catch((error: unknown) => this.#log(String(error)));
    }, RESTART_PAUSE_MS);
  }
}

/** Notes the ranges whose traffic waits for the first image. */
function hold({ header }: Arena, ranges: Range4[]): void {
  const held = ranges.slice(0, HELD_RANGES_MAX);
  held.forEach(({ address, mask }, n) => {
    header[H_HELD_RANGES + n * 2] = address;
    header[H_HELD_RANGES + n * 2 + 1] = mask;
  });
  header[H_HELD_COUNT] = held.length;
}
