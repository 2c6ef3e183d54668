// The datapath's thread: read a batch, run it, write it, sleep in poll if there is none. The
// thread's event loop never runs. The engine controls it through the arena, the control words and
// an eventfd.

import './jit.ts';
import { isMainThread, workerData } from 'node:worker_threads';
import { viewArena } from '../arena/arena.ts';
import { H_NOW, layoutArena } from '../arena/layout.ts';
import { DEVICE_LOST, type Device } from '../io/device.ts';
import { PollSet } from '../io/poll.ts';
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
  PORT_SPOOFED,
} from '../pipeline/batch.ts';
import { Datapath } from '../pipeline/datapath.ts';
import { run, tick } from '../pipeline/run.ts';
import { COUNT_READ_ERRORS, COUNT_WRITE_ERRORS, VERDICT_REPLY } from '../pipeline/verdict.ts';
import { Waiter } from './busy-poll.ts';
import { CONTROL_READY, CONTROL_STOP, type WorkerInput } from './protocol.ts';
import { warmUp } from './warm-up.ts';

const TICK_MS = 100;

/** A device of the datapath. A spoofed port gets packets whose source is not their sender's. */
export interface Port {
  device: Device;
  spoofed: boolean;
}

/** The work of the thread between two sleeps. */
export class Loop {
  /** By port: 1 for a device that cannot be read. The next tick tries again. */
  readonly lost: Uint8Array;
  /** Merges what is written. It merges nothing unless replaced. */
  merger = new Merger(0);
  readonly #datapath: Datapath;
  readonly #batch: Batch;
  /** Address of the batch's buffer. */
  readonly #memory: number;
  readonly #devices: Device[];
  /** P_IN of each port's packets. */
  readonly #ports: number[];
  #tickedAt: number;

  constructor(d: Datapath, b: Batch, memory: number, ports: Port[], now: number) {
    this.#datapath = d;
    this.#batch = b;
    this.#memory = memory;
    this.#devices = ports.map(({ device }) => device);
    this.#ports = ports.map(({ spoofed }, n) => n | (spoofed ? PORT_SPOOFED : 0));
    this.lost = new Uint8Array(ports.length);
    // The first turn ticks. The clock wraps, so 0 may be in its future.
    this.#tickedAt = (now - TICK_MS) | 0;
  }

  /**
   * Reads, runs and writes one batch of every port, and ticks when due. False if there was no
   * packet. `now` is the clock in ms, as a wrapping int32.
   */
  turn(now: number): boolean {
    const d = this.#datapath;
    const b = this.#batch;
    let isBusy = false;
    for (let port = 0; port < this.#devices.length; port++) {
      if (this.lost[port] !== 0) continue;
      this.#fill(port);
      if (b.count === 0) continue;
      isBusy = true;
      run(d, b, now);
      this.#drain();
    }
    if (((now - this.#tickedAt) | 0) >= TICK_MS) {
      this.#tickedAt = now;
      tick(d, now);
      d.header[H_NOW] = now;
      // The engine may have put another device at the same descriptor.
      this.lost.fill(0);
    }
    return isBusy;
  }

  /** Reads a batch from a port until there are no packets or it is full. */
  #fill(port: number): void {
    const b = this.#batch;
    const device = this.#devices[port]!;
    b.count = 0;
    for (let at = 0; at <= BATCH_BYTES && b.count < BATCH_PACKETS_MAX; at = b.end()) {
      const bytes = device.read(this.#memory + at, PACKET_BYTES_MAX);
      if (bytes > 0) b.push(bytes, this.#ports[port]!);
      else {
        if (bytes === DEVICE_LOST) {
          this.#datapath.count(COUNT_READ_ERRORS);
          this.lost[port] = 1;
        }
        return;
      }
    }
  }

  /** Writes forwarded packets and answers, each to its output port. */
  #drain(): void {
    this.merger.run(this.#datapath, this.#batch);
    const { p, count } = this.#batch;
    for (let r = 0; r < count * P_WORDS; r += P_WORDS) {
      const verdict = p[r | P_VERDICT]!;
      if (verdict < 0 || verdict > VERDICT_REPLY) continue;
      const device = this.#devices[p[r | P_OUT]!]!;
      const isWritten = device.write(this.#memory + p[r | P_START]!, p[r | P_LENGTH]!);
      if (!isWritten) this.#datapath.count(COUNT_WRITE_ERRORS);
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

function serve(input: WorkerInput): void {
  warmUp();
  const layout = layoutArena(input.arena.flowsMax, input.arena.imageWords);
  const arena = viewArena(viewMemory(input.arena.address, layout.bytes), layout);
  const d = new Datapath(arena, input.seed);
  const b = new Batch(viewMemory(input.batch, BATCH_BUFFER_BYTES));
  const ports = input.ports.map(({ name, fd, spoofed }) => ({
    device: new Tun(name, fd),
    spoofed,
  }));
  const descriptors = input.ports.map(({ fd }) => fd);
  const polled = new PollSet(input.polled, descriptors, input.wakeFd);
  const clock = monotonicClock();
  const look = (ms: number) => polled.wait(loop.lost, ms);
  const waiter = new Waiter(input.busyPoll, look, () => performance.now() * 1000);
  const loop = new Loop(d, b, input.batch, ports, clock());
  loop.merger = new Merger(input.merges);
  Atomics.store(input.control, CONTROL_READY, 1);
  Atomics.notify(input.control, CONTROL_READY);
  while (Atomics.load(input.control, CONTROL_STOP) === 0) {
    if (loop.turn(clock())) continue;
    waiter.wait(TICK_MS);
    d.refresh();
  }
}

if (!isMainThread) serve(workerData as WorkerInput);
