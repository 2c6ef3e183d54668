// The datapath's thread: read a batch, run it, write it back, sleep in poll when there is nothing.
// The thread's event loop never turns; the engine speaks to it through the arena, the control words
// and an eventfd.

import './jit.ts';
import { isMainThread, workerData } from 'node:worker_threads';
import { viewArena } from '../arena/arena.ts';
import { H_NOW, layoutArena } from '../arena/layout.ts';
import { EAGAIN, errno, POLLIN, poll, read, viewMemory, write } from '../io/sys.ts';
import {
  BATCH_BUFFER_BYTES,
  BATCH_BYTES,
  BATCH_PACKETS_MAX,
  Batch,
  P_LENGTH,
  P_START,
  P_VERDICT,
  P_WORDS,
  PACKET_BYTES_MAX,
} from '../pipeline/batch.ts';
import { Datapath } from '../pipeline/datapath.ts';
import { run, runSpoofed, tick } from '../pipeline/run.ts';
import { COUNT_READ_ERRORS, COUNT_WRITE_ERRORS, VERDICT_REPLY } from '../pipeline/verdict.ts';
import { CONTROL_READY, CONTROL_STOP, POLLFD_BYTES, type WorkerInput } from './protocol.ts';
import { warmUp } from './warm-up.ts';

const TICK_MS = 100;
/** In the place of a descriptor: poll leaves it alone. */
const LOST = -1;
const POLLIN_SHIFTED = POLLIN << 16;

/**
 * CLOCK_MONOTONIC in ms as a wrapping int32: the same for every agent of one boot, so ages survive
 * a restart.
 */
function monotonicOffset(): number {
  // The first use of `performance` loads it, which takes up to 0.1 s: the other clock is read after
  // it.
  const now = performance.now();
  return Number(process.hrtime.bigint()) / 1e6 - now;
}

function serve(input: WorkerInput): void {
  warmUp();
  const layout = layoutArena(input.arena.flowsMax, input.arena.imageWords);
  const arena = viewArena(viewMemory(input.arena.address, layout.bytes), layout);
  const d = new Datapath(arena, input.seed);
  const memory = input.batch;
  const b = new Batch(viewMemory(memory, BATCH_BUFFER_BYTES));
  const count = input.ports.length;
  const polled = input.polled;
  const fds = new Int32Array(viewMemory(polled, (count + 1) * POLLFD_BYTES));
  input.ports.forEach((port, n) => {
    fds[n * 2] = port.fd;
    fds[n * 2 + 1] = POLLIN;
  });
  fds[count * 2] = input.wakeFd;
  fds[count * 2 + 1] = POLLIN;
  const scratch = polled + (count + 1) * POLLFD_BYTES;
  const offset = monotonicOffset();
  let ticked = 0;
  Atomics.store(input.control, CONTROL_READY, 1);
  Atomics.notify(input.control, CONTROL_READY);
  while (Atomics.load(input.control, CONTROL_STOP) === 0) {
    const now = (performance.now() + offset) | 0;
    let idle = true;
    for (let n = 0; n < count; n++) {
      const { fd, spoofed } = input.ports[n]!;
      if (fds[n * 2] === LOST) continue;
      if (!fill(d, b, fd, memory)) fds[n * 2] = LOST;
      if (b.count === 0) continue;
      idle = false;
      if (spoofed) runSpoofed(d, b, now);
      else run(d, b, now);
      drain(d, b, fd, memory);
    }
    if (((now - ticked) | 0) >= TICK_MS) {
      ticked = now;
      tick(d, now);
      d.header[H_NOW] = now;
      // The engine puts another device behind the same descriptor.
      for (let n = 0; n < count; n++) fds[n * 2] = input.ports[n]!.fd;
    }
    if (!idle) continue;
    poll(polled, count + 1, TICK_MS);
    if ((fds[count * 2 + 1]! & POLLIN_SHIFTED) !== 0) read(input.wakeFd, scratch, 8);
    d.refresh();
  }
}

/**
 * Reads a batch from a port, maybe an empty one; false if its device is gone, where poll would not
 * wait.
 */
function fill(d: Datapath, b: Batch, fd: number, memory: number): boolean {
  b.count = 0;
  for (;;) {
    const at = b.end();
    if (at > BATCH_BYTES || b.count === BATCH_PACKETS_MAX) break;
    const bytes = read(fd, memory + at, PACKET_BYTES_MAX);
    if (bytes > 0) b.push(bytes);
    else {
      if (bytes >= 0 || errno() === EAGAIN) break;
      d.count(COUNT_READ_ERRORS);
      return false;
    }
  }
  return true;
}

/** Writes back what is to go on. */
function drain(d: Datapath, b: Batch, fd: number, memory: number): void {
  const { p } = b;
  for (let r = 0; r < b.count * P_WORDS; r += P_WORDS) {
    const verdict = p[r + P_VERDICT]!;
    if (verdict < 0 || verdict > VERDICT_REPLY) continue;
    const bytes = p[r + P_LENGTH]!;
    if (write(fd, memory + p[r + P_START]!, bytes) !== bytes) d.count(COUNT_WRITE_ERRORS);
  }
}

if (!isMainThread) serve(workerData as WorkerInput);
