import { setPriority } from 'node:os';

/**
 * Nice value of the datapath's thread. The kernel forwards in interrupts, before any thread. With
 * the weight of any other thread the datapath waits for the sockets that it serves: on two CPUs
 * one stream of TCP ran at 17.1 Gbit/s, and at 18.9 with this value (docs/bench/limits.md).
 */
export const WORKER_NICE = -10;

/**
 * Gives the calling thread, not its process, WORKER_NICE. False without CAP_SYS_NICE: the thread
 * then keeps its priority.
 */
export function raisePriority(set: (nice: number) => void = setPriority): boolean {
  try {
    set(WORKER_NICE);
    return true;
  } catch {
    return false;
  }
}
