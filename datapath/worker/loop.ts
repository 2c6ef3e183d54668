// The datapath's thread: read a batch, run it, write it, sleep in epoll if there is none. The
// thread's event loop never runs. The engine controls it through the arena, the port table, the
// control words and an eventfd.

import './jit.ts';
import { isMainThread, workerData } from 'node:worker_threads';
import { viewArena } from '../arena/arena.ts';
import { H_NOW, layoutArena } from '../arena/layout.ts';
import { DEVICE_LOST, type Device } from '../io/device.ts';
import { EVENTS_MAX, PollSet } from '../io/poll.ts';
import { viewMemory } from '../io/sys.ts';
import { Tun } from '../io/tun.ts';
import { Merger } from '../merge/merge.ts';
import {
  BATCH_BUFFER_BYTES,
  BATCH_BYTES,
  BATCH_PACKETS_MAX,
  Batch,
  P_LENGTH,
  P_OUT,
  P_START,
  P_VERDICT,
  P_WORDS,
  PACKET_BYTES_MAX,
  PORT_POD,
  PORT_SPOOFED,
  PORTS_MAX,
} from '../pipeline/batch.ts';
import { Datapath } from '../pipeline/datapath.ts';
import { run, tick } from '../pipeline/run.ts';
import { COUNT_READ_ERRORS, COUNT_WRITE_ERRORS, VERDICT_REPLY } from '../pipeline/verdict.ts';
import { IP4_TOTAL_BYTES_MAX } from '../wire/ipv4.ts';
import { Waiter } from './busy-poll.ts';
import { KIND_POD, KIND_SPOOFED, PORT_TABLE_BYTES, PortTable } from './port-table.ts';
import { raisePriority } from './priority.ts';
import { CONTROL_READY, CONTROL_STOP, type WorkerInput } from './protocol.ts';
import { warmUp } from './warm-up.ts';

const TICK_MS = 100;
/**
 * Share of a pod's port in one turn: a quarter of a batch, and four segments of the largest size.
 * The node's own device may fill a whole batch.
 */
const POD_PACKETS_MAX = 64;
const POD_BYTES_MAX = 256 * 1024;

/** A device of the datapath. */
export interface Port {
  device: Device;
  /** Its packets are of pods with a foreign source address. */
  spoofed?: boolean;
  /** Address of the one pod behind it, as int32. */
  address?: number;
}

/** Notes that a port can be read no longer, or may be read again. */
export interface PortWatch {
  lost(port: number): void;
  found(port: number): void;
}

/** The work of the thread between two sleeps. */
export class Loop {
  /** By port: 1 for a device that cannot be read. The next tick tries again. */
  readonly lost = new Uint8Array(PORTS_MAX);
  /** Merges what is written. It merges nothing unless replaced. */
  merger = new Merger(0);
  readonly #datapath: Datapath;
  readonly #batch: Batch;
  /** Address of the batch's buffer. */
  readonly #memory: number;
  readonly #watch: PortWatch | null;
  /** By port; null for none. */
  readonly #devices: (Device | null)[] = new Array<Device | null>(PORTS_MAX).fill(null);
  /** By port: P_IN of its packets. */
  readonly #ins = new Int32Array(PORTS_MAX);
  /** Ports that may have packets: a ring, so that each is served in its turn. */
  readonly #ready = new Int32Array(PORTS_MAX);
  readonly #isReady = new Uint8Array(PORTS_MAX);
  #readyAt = 0;
  #readyCount = 0;
  #lostCount = 0;
  /** A packet was read in this turn. */
  #isBusy = false;
  #tickedAt: number;

  constructor(d: Datapath, b: Batch, memory: number, now: number, watch: PortWatch | null = null) {
    this.#datapath = d;
    this.#batch = b;
    this.#memory = memory;
    this.#watch = watch;
    // The first turn ticks. The clock wraps, so 0 may be in its future.
    this.#tickedAt = (now - TICK_MS) | 0;
  }

  /** Serves another device as this port, or none. */
  setPort(port: number, now: Port | null): void {
    const { device = null, spoofed = false, address = 0 } = now ?? {};
    this.#devices[port] = device;
    this.#ins[port] = port | (spoofed ? PORT_SPOOFED : 0) | (address !== 0 ? PORT_POD : 0);
    this.#datapath.ports.set(port, address);
    this.measure(port);
    if (this.lost[port] !== 0) this.#lostCount--;
    this.lost[port] = 0;
    if (device !== null) this.markReady(port);
  }

  /** Reads the MTU of a port's device. */
  measure(port: number): void {
    this.#datapath.ports.mtus[port] = this.#devices[port]?.mtu() ?? IP4_TOTAL_BYTES_MAX;
  }

  /** A port may have packets. The next turn reads it. */
  markReady(port: number): void {
    if (this.#isReady[port] !== 0) return;
    this.#isReady[port] = 1;
    this.#ready[(this.#readyAt + this.#readyCount) % PORTS_MAX] = port;
    this.#readyCount++;
  }

  /** True if a port may have packets that no turn has read yet. */
  get isReady(): boolean {
    return this.#readyCount > 0;
  }

  /**
   * Reads every ready port once, up to its share, runs and writes the packets, and ticks when due.
   * False if there was no packet. `now` is the clock in ms, as a wrapping int32.
   */
  turn(now: number): boolean {
    this.#isBusy = false;
    this.#batch.count = 0;
    // A port that is not empty goes to the end of the ring, for the next turn.
    for (let left = this.#readyCount; left > 0; left--) {
      const port = this.#ready[this.#readyAt]!;
      this.#readyAt = (this.#readyAt + 1) % PORTS_MAX;
      this.#readyCount--;
      this.#isReady[port] = 0;
      if (this.#fill(port, now)) this.markReady(port);
    }
    this.#flush(now);
    if (((now - this.#tickedAt) | 0) >= TICK_MS) this.#tick(now);
    return this.#isBusy;
  }

  /** Reads a port into the batch: false once it is empty, true if its share is used up. */
  #fill(port: number, now: number): boolean {
    const b = this.#batch;
    const device = this.#devices[port]!;
    if (device === null) return false;
    const from = this.#ins[port]!;
    const isPod = (from & PORT_POD) !== 0;
    let packets = isPod ? POD_PACKETS_MAX : BATCH_PACKETS_MAX;
    let room = isPod ? POD_BYTES_MAX : BATCH_BYTES;
    while (packets > 0 && room > 0) {
      let at = b.end();
      if (at > BATCH_BYTES || b.count >= BATCH_PACKETS_MAX) {
        this.#flush(now);
        at = 0;
      }
      const bytes = device.read(this.#memory + at, PACKET_BYTES_MAX);
      if (bytes <= 0) {
        if (bytes === DEVICE_LOST) this.#lose(port);
        return false;
      }
      b.push(bytes, from);
      packets--;
      room -= bytes;
    }
    return true;
  }

  /** Runs and writes the batch. */
  #flush(now: number): void {
    const b = this.#batch;
    if (b.count === 0) return;
    this.#isBusy = true;
    run(this.#datapath, b, now);
    this.#drain();
    b.count = 0;
  }

  /** Writes forwarded packets and answers, each to its output port. */
  #drain(): void {
    this.merger.run(this.#datapath, this.#batch);
    const { p, count } = this.#batch;
    for (let r = 0; r < count * P_WORDS; r += P_WORDS) {
      const verdict = p[r | P_VERDICT]!;
      if (verdict < 0 || verdict > VERDICT_REPLY) continue;
      const device = this.#devices[p[r | P_OUT]!];
      if (!device?.write(this.#memory + p[r | P_START]!, p[r | P_LENGTH]!))
        this.#datapath.count(COUNT_WRITE_ERRORS);
    }
  }

  #lose(port: number): void {
    this.#datapath.count(COUNT_READ_ERRORS);
    this.lost[port] = 1;
    this.#lostCount++;
    this.#watch?.lost(port);
  }

  #tick(now: number): void {
    const d = this.#datapath;
    this.#tickedAt = now;
    tick(d, now);
    d.header[H_NOW] = now;
    if (this.#lostCount === 0) return;
    // The engine may have put another device at the same descriptor.
    this.#lostCount = 0;
    for (let port = 0; port < PORTS_MAX; port++) {
      if (this.lost[port] === 0) continue;
      this.lost[port] = 0;
      this.#watch?.found(port);
      this.markReady(port);
    }
  }
}

/** CLOCK_MONOTONIC in ms as a wrapping int32, the same for every process, so ages survive. */
function monotonicClock(): () => number {
  // Read first: the first use of `performance` loads it, which takes up to 0.1 s.
  const first = performance.now();
  const offset = Number(process.hrtime.bigint()) / 1e6 - first;
  return () => (performance.now() + offset) | 0;
}

/** In the poll set, the links of a port have its number and this. */
const LINKS_OF = PORTS_MAX;

/** The ports of the engine's table, as the loop serves them. */
class ServedPorts {
  readonly #table: PortTable;
  readonly #polled: PollSet;
  readonly #serials = new Int32Array(PORTS_MAX);
  readonly #devices: (Tun | null)[] = new Array<Tun | null>(PORTS_MAX).fill(null);
  /** Address of a buffer for messages, which is free between turns. */
  readonly #buffer: number;
  #version = -1;

  constructor(table: PortTable, polled: PollSet, buffer: number) {
    this.#table = table;
    this.#polled = polled;
    this.#buffer = buffer;
  }

  lost(port: number): void {
    this.#polled.remove(this.#devices[port]!.fd);
  }

  found(port: number): void {
    this.#polled.add(port, this.#devices[port]!.fd);
  }

  /** Takes a number that the poll set has found: a port, or the links of one. */
  take(loop: Loop, number: number): void {
    if (number < LINKS_OF) loop.markReady(number);
    else {
      this.#devices[number - LINKS_OF]?.clearLinks(this.#buffer);
      loop.measure(number - LINKS_OF);
    }
  }

  /** Takes over what has changed in the table. */
  follow(loop: Loop): void {
    const { version } = this.#table;
    if (version === this.#version) return;
    this.#version = version;
    for (let port = 0; port < PORTS_MAX; port++) {
      const serial = this.#table.serialOf(port);
      if (serial === this.#serials[port]) continue;
      if (this.#serials[port] !== 0) this.#leave(port);
      this.#serials[port] = serial;
      if (serial === 0) loop.setPort(port, null);
      else this.#open(loop, port);
    }
    this.#table.acknowledge(version);
  }

  #leave(port: number): void {
    this.lost(port);
    const { links } = this.#devices[port]!;
    if (links >= 0) this.#polled.remove(links);
    this.#devices[port] = null;
  }

  #open(loop: Loop, port: number): void {
    const { kind, fd, address, links } = this.#table.entryOf(port);
    const device = new Tun(`port ${port}`, fd, false, links);
    this.#devices[port] = device;
    this.found(port);
    if (links >= 0) this.#polled.add(LINKS_OF + port, links);
    loop.setPort(port, {
      device,
      spoofed: kind === KIND_SPOOFED,
      ...(kind === KIND_POD && { address }),
    });
  }
}

function serve(input: WorkerInput): void {
  warmUp();
  raisePriority();
  const layout = layoutArena(input.arena.flowsMax, input.arena.imageWords);
  const arena = viewArena(viewMemory(input.arena.address, layout.bytes), layout);
  const d = new Datapath(arena, input.seed);
  const b = new Batch(viewMemory(input.batch, BATCH_BUFFER_BYTES));
  const polled = new PollSet(input.polled, input.epoll, input.wakeFd);
  const table = new PortTable(viewMemory(input.ports, PORT_TABLE_BYTES));
  const served = new ServedPorts(table, polled, input.batch);
  const clock = monotonicClock();
  const loop = new Loop(d, b, input.batch, clock(), served);
  const ready = new Int32Array(EVENTS_MAX);
  const look = (ms: number) => {
    const count = polled.wait(ready, ms);
    for (let n = 0; n < count; n++) served.take(loop, ready[n]!);
    return polled.isWoken ? count + 1 : count;
  };
  const waiter = new Waiter(input.busyPoll, look, () => performance.now() * 1000);
  loop.merger = new Merger(input.merges);
  served.follow(loop);
  Atomics.store(input.control, CONTROL_READY, 1);
  Atomics.notify(input.control, CONTROL_READY);
  while (Atomics.load(input.control, CONTROL_STOP) === 0) {
    served.follow(loop);
    // Packets that came during a turn do not show how soon more will come.
    if (loop.turn(clock())) look(0);
    if (!loop.isReady) waiter.wait(TICK_MS);
    d.refresh();
  }
}

if (!isMainThread) serve(workerData as WorkerInput);
