// Keeps an HAProxy at the newest configuration: by commands where they are enough, else by a
// reload. One run at a time.
import type { MonotonicClock } from '../../clock.ts';
import type { Log } from '../../log.ts';
import { FILES, type HaproxyFiles } from '../config.ts';
import { carryOut, deleteServer } from './commands.ts';
import { type Desired, type Files, filesOf, readDesired } from './desired.ts';
import { type Change, differenceOf, type Running, runningOf } from './difference.ts';
import type { ConfigFiles } from './files.ts';
import type { HaproxySockets } from './haproxy.ts';
import { readRunning } from './observe.ts';

const RELOAD_MS_MIN = 1000;
/** Time for a new worker to take over. */
const RELOADED_MS_MAX = 30_000;
const POLL_MS = 20;

export interface ApplierOptions {
  sockets: HaproxySockets;
  files: ConfigFiles;
  clock: MonotonicClock;
  log: Log;
  /** HAProxy refuses a configuration. It goes on with the one before. */
  onRefused: (why: string) => void;
  /** Least time between reloads: each one starts a process. */
  reloadMsMin?: number;
}

/** How HAProxy was brought to its configuration, for metrics. */
export interface ApplyCounts {
  reloads: number;
  commands: number;
  refused: number;
}

export class Applier {
  readonly counts: ApplyCounts = { reloads: 0, commands: 0, refused: 0 };
  /** Why HAProxy does not run the newest configuration. Null if it does. */
  fault: string | null = 'no configuration yet';
  readonly #options: ApplierOptions;
  #desired: Desired | null = null;
  /** The current files. */
  #written: Files | null;
  /** Null while it is unknown what HAProxy runs. */
  #running: Running | null = null;
  #pid = 0;
  /** Text of the configuration that HAProxy refuses. */
  #refused = '';
  #reloadedMs = Number.NEGATIVE_INFINITY;
  #work: Promise<void> = Promise.resolve();

  constructor(options: ApplierOptions) {
    this.#options = options;
    this.#written = options.files.read();
  }

  /** Takes a new configuration. Resolves when HAProxy runs it or `fault` says why not. */
  apply(rendered: HaproxyFiles): Promise<void> {
    this.#desired = readDesired(filesOf(rendered));
    return this.turn();
  }

  /** Compares and applies again. Also finds an HAProxy that was started again. */
  turn(isFull = false): Promise<void> {
    this.#work = this.#work
      .then(() => this.#turn(isFull))
      .catch((error: unknown) => {
        const why = error instanceof Error ? error.message : String(error);
        if (this.fault !== why) this.#options.log.warn({ why }, 'HAProxy is not up to date');
        this.fault = why;
        this.#running = null;
      });
    return this.#work;
  }

  async #turn(isFull: boolean): Promise<void> {
    const desired = this.#desired;
    if (!desired) return;
    if (this.#written === null) {
      // HAProxy waits for its first configuration.
      if (await this.#stage(desired)) this.fault = 'HAProxy has not started yet';
      return;
    }
    try {
      await this.#observe(isFull);
    } catch (error) {
      // An HAProxy that starts now loads the newest files.
      if (!hasFiles(desired, this.#written)) await this.#stage(desired);
      throw error;
    }
    const difference = differenceOf(desired, this.#running!);
    if (difference.reload === null && !this.#options.files.isMarked) {
      return this.#command(desired, difference.changes);
    }
    const { clock, reloadMsMin = RELOAD_MS_MIN } = this.#options;
    const dueMs = this.#reloadedMs + reloadMsMin - clock.monotonicMs();
    if (dueMs <= 0 && this.#refused !== textOf(desired)) {
      const why = difference.reload ?? 'the controller ended in a change';
      if (await this.#reload(desired, why)) return;
    }
    // Endpoints need not wait.
    if (desired.skeleton !== this.#running!.skeleton) await this.#send(difference.changes);
    if (dueMs <= 0) return;
    this.fault = `HAProxy is reloaded at most once in ${reloadMsMin} ms`;
    clock.after(dueMs, () => void this.turn());
  }

  /** Learns what HAProxy runs if that is unknown, if it was restarted, or for a full comparison. */
  async #observe(isFull: boolean): Promise<void> {
    const { sockets, files } = this.#options;
    const pid = (await sockets.workers()).find(({ isCurrent }) => isCurrent)?.pid ?? 0;
    if (this.#running && pid === this.#pid && !isFull) return;
    this.#pid = pid;
    const written = readDesired(this.#written!);
    this.#running = await readRunning(sockets, written, (name) => files.pathOf(name));
  }

  async #command(desired: Desired, changes: Change[]): Promise<void> {
    const { files } = this.#options;
    if (changes.length > 0) files.mark();
    files.write(desired.files, this.#written);
    this.#written = desired.files;
    await this.#send(changes);
    if (changes.length > 0) files.unmark();
    // Servers that are leaving are known to HAProxy only.
    const leaving = this.#running!.servers;
    this.#running = runningOf(desired);
    for (const [backend, servers] of leaving) {
      const own = this.#running.servers.get(backend);
      for (const [name, server] of servers) {
        if (own && !own.has(name)) own.set(name, { ...server, isLeaving: true });
      }
    }
    this.fault = null;
    await this.#deleteLeft();
  }

  async #send(changes: Change[]): Promise<void> {
    const { sockets, files } = this.#options;
    const pathOf = (name: string) => files.pathOf(name);
    const ask = (command: string, payload?: string) => sockets.ask(command, payload);
    for (const change of changes) {
      await carryOut(change, { ask, pathOf });
      this.counts.commands++;
      this.#note(change);
    }
  }

  /** Keeps `#running` right after each command, as a later one may fail. */
  #note(change: Change): void {
    if (!('server' in change)) return;
    const [backend = '', name = ''] = change.server.split('/');
    const isLeaving = change.kind === 'leave-server';
    this.#running?.servers.get(backend)?.set(name, { spec: change.spec, isLeaving });
  }

  async #deleteLeft(): Promise<void> {
    const { sockets } = this.#options;
    const ask = (command: string) => sockets.ask(command);
    for (const [backend, servers] of this.#running!.servers) {
      for (const [name, { isLeaving }] of servers) {
        if (!isLeaving) continue;
        if (await deleteServer(ask, `${backend}/${name}`)) servers.delete(name);
      }
    }
  }

  async #reload(desired: Desired, why: string): Promise<boolean> {
    const { sockets, files, clock, log } = this.#options;
    if (!(await this.#stage(desired))) return false;
    const startMs = clock.monotonicMs();
    files.mark();
    await sockets.reload();
    this.#reloadedMs = clock.monotonicMs();
    this.#pid = await this.#newWorker(this.#pid);
    files.unmark();
    this.#running = runningOf(desired);
    this.counts.reloads++;
    this.fault = null;
    const ms = Math.round(clock.monotonicMs() - startMs);
    log.info({ why, ms, worker: this.#pid }, 'HAProxy reloaded');
    return true;
  }

  /** Resolves with the new worker when the one before accepts no more connections. */
  async #newWorker(before: number): Promise<number> {
    const { clock } = this.#options;
    const endMs = clock.monotonicMs() + RELOADED_MS_MAX;
    while (clock.monotonicMs() < endMs) {
      // The master is away while it loads.
      const pid = await this.#successorOf(before).catch(() => null);
      if (pid !== null) return pid;
      await new Promise<void>((resolve) => void clock.after(POLL_MS, resolve));
    }
    throw new Error(`HAProxy has no new worker ${RELOADED_MS_MAX / 1000} s after a reload`);
  }

  /** Null while the worker before may still accept connections. */
  async #successorOf(before: number): Promise<number | null> {
    const { sockets } = this.#options;
    const workers = await sockets.workers();
    const pid = workers.find(({ isCurrent }) => isCurrent)?.pid ?? before;
    if (pid === before || !(await sockets.ask('show info')).includes(`\nPid: ${pid}\n`))
      return null;
    if (!workers.some((worker) => worker.pid === before)) return pid;
    const info = await sockets.askWorker(before, 'show info').catch(() => 'Stopping: 1');
    return /^Stopping: 1/m.test(info) ? pid : null;
  }

  /** Makes the files of a configuration the current ones, unless HAProxy refuses them. */
  async #stage(desired: Desired): Promise<boolean> {
    const { files, onRefused, log } = this.#options;
    if (this.#refused === textOf(desired)) return false;
    const folder = files.stage(desired.files, this.#written);
    const why = await files.check(folder, desired.files);
    if (why !== null) {
      files.drop(folder);
      this.#refused = textOf(desired);
      this.counts.refused++;
      this.fault = `HAProxy refuses the configuration: ${why}`;
      log.error({ why }, 'HAProxy refuses the configuration and keeps the one before');
      onRefused(why);
      return false;
    }
    files.switchTo(folder);
    this.#written = desired.files;
    this.#refused = '';
    return true;
  }
}

function textOf({ files }: Desired): string {
  return files.get(FILES.config)!;
}

function hasFiles({ files }: Desired, written: Files): boolean {
  const isWritten = ([name, text]: [string, string]) => written.get(name) === text;
  return files.size === written.size && [...files].every(isWritten);
}
