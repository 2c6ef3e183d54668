// Keeps the datapath's thread alive: starts it, restarts it when it dies, and ends it when it
// hangs.
import { randomInt } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { Backoff, RESTART_PACE } from '../backoff.ts';
import { KubetunError } from '../error.ts';
import { WORKER_EXEC_ARGV } from './bundle.ts';
import { CONTROL_READY, CONTROL_STOP, type WorkerInput } from './protocol.ts';

const READY_MS = 10_000;
const SAMPLE_MS = 1000;
/** Counts samples, not ms: a suspended machine must not look like a worker that hangs. */
const STILL_SAMPLES_MAX = 10;
/** V8 ends a loop at once. A thread in a system call that does not return never ends. */
const TERMINATE_MS = 2000;

export interface WorkerKeeperOptions {
  url: URL;
  input: Omit<WorkerInput, 'seed'>;
  /** Changes with every tick of a running worker. */
  heartbeat: () => number;
  /** Takes one line per notable event. */
  log: (message: string) => void;
  /** The thread hangs and cannot be ended: the process has to end. */
  onStuck: () => void;
  /** Shorter in tests. */
  sampleMs?: number;
}

/**
 * Keeps a worker thread running. Its memory belongs to the engine, so a dead worker leaks nothing.
 */
export class WorkerKeeper {
  /** Number of restarts. */
  restarts = 0;
  /** Why no worker runs; null while one does. */
  failure: string | null = 'the worker has not started yet';
  readonly #options: WorkerKeeperOptions;
  readonly #sampler: NodeJS.Timeout;
  readonly #delay = new Backoff(RESTART_PACE);
  #worker: Worker | null = null;
  #timer: NodeJS.Timeout | undefined;
  #servedFromMs = 0;
  #stopping = false;
  /** A worker has run: from now on a dead one is restarted. */
  #started = false;
  /** Why the thread is being ended; null if it is not. */
  #endedFor: string | null = null;
  #beat = 0;
  #still = 0;

  constructor(options: WorkerKeeperOptions) {
    this.#options = options;
    this.#sampler = setInterval(() => this.#sample(), options.sampleMs ?? SAMPLE_MS).unref();
  }

  /** Resolves when the first worker runs. Throws KubetunError KT_WORKER_START, without a retry. */
  async start(name: string): Promise<void> {
    await this.#launch();
    if (this.failure === null) return;
    const why = this.failure;
    await this.stop();
    throw new KubetunError('KT_WORKER_START', `the datapath of ${name} did not start`, why);
  }

  /** Asks the worker to leave its loop and waits for it; `wake` ends its sleep. */
  async stop(wake: () => void = () => {}): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#sampler);
    clearTimeout(this.#timer);
    const worker = this.#worker;
    if (!worker) return;
    const gone = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    Atomics.store(this.#options.input.control, CONTROL_STOP, 1);
    wake();
    const stuck = setTimeout(() => this.#end('it does not stop'), READY_MS);
    await gone;
    clearTimeout(stuck);
  }

  /** Resolves when the worker runs or has failed: see `failure`. */
  async #launch(): Promise<void> {
    const { url, input } = this.#options;
    const { control } = input;
    Atomics.store(control, CONTROL_READY, 0);
    let worker: Worker;
    try {
      const workerData = { ...input, seed: randomInt(1, 2 ** 31) };
      worker = new Worker(url, { workerData, execArgv: WORKER_EXEC_ARGV });
    } catch (error) {
      return this.#ended(String(error));
    }
    this.#worker = worker;
    let reason = 'its thread ended';
    worker.on('error', (error) => {
      reason = messageOf(error);
    });
    const gone = new Promise<'gone'>((resolve) => {
      worker.once('exit', () => {
        this.#ended(reason);
        resolve('gone');
      });
    });
    const ready = Atomics.waitAsync(control, CONTROL_READY, 0, READY_MS);
    const outcome = await Promise.race([ready.value, gone]);
    if (outcome === 'gone' || this.#worker !== worker) return;
    if (Atomics.load(control, CONTROL_READY) === 1) return this.#serves();
    this.#end(`it was not ready within ${READY_MS / 1000} s`);
    await gone;
  }

  #serves(): void {
    this.failure = null;
    this.#started = true;
    this.#servedFromMs = performance.now();
    this.#beat = this.#options.heartbeat();
    this.#still = 0;
  }

  /** Called when the thread has ended. Restarts it with growing delays. */
  #ended(died: string): void {
    this.#worker = null;
    const reason = this.#endedFor ?? died;
    this.#endedFor = null;
    const served = this.failure === null ? performance.now() - this.#servedFromMs : 0;
    this.failure = `the worker ended: ${reason}`;
    if (this.#stopping || !this.#started) return;
    const delayMs = this.#delay.next(served);
    this.restarts++;
    const what = `datapath worker ended: ${reason}`;
    this.#options.log(`${what}; restart ${this.restarts} in ${delayMs} ms`);
    this.#timer = setTimeout(() => void this.#launch(), delayMs);
  }

  #sample(): void {
    const beat = this.#options.heartbeat();
    const isStill = this.failure === null && beat === this.#beat;
    this.#still = isStill ? this.#still + 1 : 0;
    this.#beat = beat;
    if (this.#still < STILL_SAMPLES_MAX) return;
    this.#still = 0;
    this.#end(`it has not ticked at ${STILL_SAMPLES_MAX} looks in a row`);
  }

  /** Ends a thread that does not end by itself. */
  #end(why: string): void {
    const worker = this.#worker;
    if (!worker) return;
    this.#endedFor = why;
    this.failure = `the worker hangs: ${why}`;
    this.#options.log(`datapath worker is terminated: ${why}`);
    const stuck = setTimeout(() => {
      this.#options.log('datapath worker cannot be terminated: the process ends');
      this.#options.onStuck();
    }, TERMINATE_MS);
    void worker.terminate().then(() => clearTimeout(stuck));
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
