import { randomInt } from 'node:crypto';
import { availableParallelism, release } from 'node:os';
import { ARENA_SIZES_DEFAULT, type Arena, type ArenaSizes } from '../arena/arena.ts';
import { type ArenaFile, openArenaFile } from '../arena/file.ts';
import { H_HELD_COUNT, H_HELD_RANGES, H_NOW, HELD_RANGES_MAX } from '../arena/layout.ts';
import { KubetunError } from '../error.ts';
import { nodeTimeouts, type Timeouts } from '../flow/timeouts.ts';
import { ImageWriter } from '../image/writer.ts';
import { POLL_SET_BYTES } from '../io/poll.ts';
import { closeFile, eventfd, mapMemory, openEpoll, unmap, write } from '../io/sys.ts';
import { openTun, type Tun } from '../io/tun.ts';
import { mergeKinds } from '../merge/kinds.ts';
import { BATCH_BUFFER_BYTES, PORTS_MAX } from '../pipeline/batch.ts';
import type { Range4 } from '../wire/address.ts';
import { coverRanges } from '../wire/ranges.ts';
import { workerUrl } from './bundle.ts';
import { BUSY_POLL_AUTO } from './busy-poll.ts';
import { WorkerKeeper } from './keeper.ts';
import { KIND_MAIN, KIND_POD, KIND_SPOOFED, PORT_TABLE_BYTES, PortTable } from './port-table.ts';
import { CONTROL_WORDS } from './protocol.ts';

export interface EngineOptions {
  /** A file on tmpfs: the datapath's memory, which outlives the process. */
  arenaPath: string;
  /** The TUN device in the process's network namespace; made if it does not exist. */
  tunName: string;
  /** Another TUN device: the node sends it packets of pods with a foreign source address. */
  spoofedTunName?: string | null;
  /** Devices of pods, and their addresses as int32. The engine owns and closes them. */
  pods?: PodPort[];
  /** Pod ranges: their traffic is held until the first image, which has their policies. */
  heldRanges?: Range4[];
  sizes?: ArenaSizes;
  /** Timeouts of all flows, also those of the last process; by default a node's. */
  timeouts?: Timeouts;
  /** False writes every packet separately. True, the default, merges as the kernel allows. */
  merge?: boolean;
  /** How long to poll for packets before a sleep, us. BUSY_POLL_AUTO, the default, decides. */
  busyPoll?: number;
  /** Takes one line per notable event. */
  log?: (message: string) => void;
}

/** A pod's device, and the pod's address as int32. */
export interface PodPort {
  tun: Tun;
  address: number;
}

/** Interval of checks whether the worker has left a removed port. */
const CLOSE_MS = 5;

/** A node's datapath in a thread of this process: owns arena and TUN, publishes images. */
export class Engine {
  readonly writer: ImageWriter;
  readonly arena: Arena;
  /** False if the last process's flows could not be kept. */
  readonly survived: boolean;
  readonly #file: ArenaFile;
  readonly #tun: Tun;
  /** All devices: the main one, and that of spoofed packets. */
  readonly #tuns: Tun[];
  /** Devices of pods, by port. */
  readonly #pods = new Map<number, PodPort>();
  /** Removed ports whose descriptors the worker may still use. */
  readonly #leaving = new Map<number, { tun: Tun; version: number; left: () => void }>();
  #closer: NodeJS.Timeout | undefined;
  readonly #table: PortTable;
  readonly #epoll = openEpoll();
  readonly #wakeFd: number;
  readonly #wakeWord = mapMemory(8);
  /** Memory of the worker, owned by the engine: a worker that dies cannot free it. */
  readonly #batch = mapMemory(BATCH_BUFFER_BYTES);
  readonly #polled = mapMemory(POLL_SET_BYTES);
  readonly #ports = mapMemory(PORT_TABLE_BYTES);
  readonly #keeper: WorkerKeeper;

  private constructor(
    options: EngineOptions,
    url: URL,
    file: ArenaFile,
    tun: Tun,
    spoofed: Tun | null,
  ) {
    this.#file = file;
    this.#tun = tun;
    this.#tuns = spoofed ? [tun, spoofed] : [tun];
    this.arena = file.arena;
    this.survived = file.survived;
    this.#wakeFd = eventfd();
    new BigInt64Array(this.#wakeWord.buffer)[0] = 1n;
    this.writer = new ImageWriter(file.arena);
    this.writer.onPublished = () => this.wake();
    this.#table = new PortTable(this.#ports.buffer);
    this.#showDevices();
    for (const pod of options.pods ?? []) this.#place(pod);
    const { flowsMax, imageWords } = file.arena.layout;
    this.#keeper = new WorkerKeeper({
      url,
      input: {
        arena: { address: file.address, flowsMax, imageWords },
        batch: this.#batch.address,
        ...{ ports: this.#ports.address, polled: this.#polled.address },
        ...{ epoll: this.#epoll, wakeFd: this.#wakeFd },
        busyPoll: busyPollOf(options.busyPoll ?? BUSY_POLL_AUTO),
        merges: mergeKinds(options.merge ?? true, tun.hasUso, release()),
        control: new Int32Array(new SharedArrayBuffer(CONTROL_WORDS * 4)),
      },
      heartbeat: () => file.arena.header[H_NOW]!,
      log: options.log ?? (() => {}),
      // An ordinary exit waits for the thread, which never ends.
      onStuck: () => process.kill(process.pid, 'SIGKILL'),
    });
  }

  /**
   * Opens arena and device and starts the thread; keeps the flows and the image of an earlier
   * process. Resolves when packets are served. Throws KubetunError (KT_ARENA_*, KT_TUN_*,
   * KT_WORKER_START).
   */
  static async start(options: EngineOptions): Promise<Engine> {
    const url = await workerUrl(options.log ?? (() => {}));
    const sizes = options.sizes ?? ARENA_SIZES_DEFAULT;
    const file = openArenaFile(options.arenaPath, sizes, randomInt(1, 2 ** 31));
    if (file.distrusted !== null) {
      options.log?.(`${options.arenaPath} was replaced: ${file.distrusted}`);
    }
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
    // Set before the worker attaches: it reads timeouts from the arena, as every reader does.
    file.arena.timeouts.set(options.timeouts ?? nodeTimeouts());
    const engine = new Engine(options, url, file, tun, spoofed);
    try {
      await engine.#keeper.start(tun.name);
    } catch (error) {
      await engine.stop();
      throw error;
    }
    return engine;
  }

  get tunName(): string {
    return this.#tun.name;
  }

  /** Names of deleted devices; the worker does not read them. */
  lostDevices(): string[] {
    return this.#tuns.filter((tun) => !tun.isAttached()).map(({ name }) => name);
  }

  /**
   * Recreates deleted devices. The worker reads them within 0.1 s. Throws KubetunError KT_TUN_*.
   */
  renewDevices(): void {
    for (const tun of this.#tuns) if (!tun.isAttached()) tun.renew();
    this.#showDevices();
  }

  /**
   * Serves a pod's device, and leads packets for its address there. Throws KubetunError
   * KT_PORTS_FULL, and leaves the device to the caller.
   */
  addPort(pod: PodPort): void {
    this.#place(pod);
    this.wake();
  }

  /** Serves the device no longer. Resolves when the worker has left it and it is closed. */
  removePort(tun: Tun): Promise<void> {
    const found = [...this.#pods].find(([, pod]) => pod.tun === tun);
    if (!found) return Promise.resolve();
    const [port] = found;
    this.#pods.delete(port);
    const version = this.#table.clear(port);
    this.wake();
    this.#closer ??= setInterval(() => this.#closeLeft(), CLOSE_MS);
    return new Promise((left) => this.#leaving.set(port, { tun, version, left }));
  }

  #place(pod: PodPort): void {
    let port: number = this.#tuns.length;
    while (this.#pods.has(port) || this.#leaving.has(port)) port++;
    if (port >= PORTS_MAX) {
      throw new KubetunError(
        'KT_PORTS_FULL',
        `the datapath of ${this.tunName} has ${PORTS_MAX} ports, and all are in use`,
        'remove pods from this node',
      );
    }
    this.#pods.set(port, pod);
    const { fd, links } = pod.tun;
    this.#table.set(port, { kind: KIND_POD, fd, address: pod.address, links });
  }

  /** Writes the node's own devices into the table. A new entry makes the worker watch them. */
  #showDevices(): void {
    for (const [port, { fd }] of this.#tuns.entries()) {
      const kind = port === 0 ? KIND_MAIN : KIND_SPOOFED;
      this.#table.set(port, { kind, fd, address: 0, links: -1 });
    }
  }

  #closeLeft(): void {
    const { acknowledged } = this.#table;
    for (const [port, { tun, version, left }] of this.#leaving) {
      if (((acknowledged - version) | 0) < 0) continue;
      this.#leaving.delete(port);
      tun.close();
      left();
    }
    if (this.#leaving.size > 0) return;
    clearInterval(this.#closer);
    this.#closer = undefined;
  }

  /** Wakes the worker, which then reads the arena. */
  wake(): void {
    write(this.#wakeFd, this.#wakeWord.address, 8);
  }

  /** Number of restarts of the worker. */
  get restarts(): number {
    return this.#keeper.restarts;
  }

  /** Why no worker runs; null while one does. */
  get workerFailure(): string | null {
    return this.#keeper.failure;
  }

  /** Ms since the worker last ticked. */
  heartbeatAgeMs(): number {
    const now = Number(process.hrtime.bigint() / 1_000_000n) | 0;
    return Math.max(0, (now - this.arena.header[H_NOW]!) | 0);
  }

  /** Ends the thread and closes the arena. The TUN device and the arena's file stay. */
  async stop(): Promise<void> {
    await this.#keeper.stop(() => this.wake());
    clearInterval(this.#closer);
    for (const { tun } of [...this.#pods.values(), ...this.#leaving.values()]) tun.close();
    for (const tun of this.#tuns) tun.close();
    for (const fd of [this.#wakeFd, this.#epoll]) closeFile(fd);
    for (const memory of [this.#wakeWord, this.#batch, this.#polled, this.#ports]) unmap(memory);
    this.#file.close();
  }
}

/** With one CPU, no packet can arrive while the thread polls. */
function busyPollOf(setting: number): number {
  return setting === BUSY_POLL_AUTO && availableParallelism() === 1 ? 0 : setting;
}

/** Stores the ranges whose traffic is held until the first image. */
export function hold({ header }: Pick<Arena, 'header'>, ranges: Range4[]): void {
  // With too many ranges, the cover also holds some other addresses. It lets no held traffic
  // through.
  const held = coverRanges(ranges, HELD_RANGES_MAX);
  held.forEach(({ address, mask }, n) => {
    header[H_HELD_RANGES + n * 2] = address;
    header[H_HELD_RANGES + n * 2 + 1] = mask;
  });
  header[H_HELD_COUNT] = held.length;
}
