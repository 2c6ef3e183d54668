// Starts and stops server, agent, backends and client of `bench change`.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  addressOf,
  batch,
  MTU,
  makeTopology,
  NODE_ADDRESS,
  namespaceOf,
  removeTopology,
  VIP,
} from '../net/topology.ts';
import { prepareJournal, UPLINK } from './cluster.ts';
import type { FirstAnswer, Trips } from './prober-process.ts';
import { type Published, Talker } from './talk.ts';
import type { Wrote } from './writer-process.ts';

const ARENA = '/dev/shm/ktbench-arena';
const PORT = 5000;
const BACKEND_PORT_MIN = 20_000;
const BACKEND_PORT_COUNT = 2000;
/**
 * Of the two backends. Each change also moves to another port, so that no old flow counts as the
 * new backend.
 */
export const ADDRESSES = [addressOf('pod2'), '10.244.1.15'];

/** The port of the backend after a change. */
export function backend(change: number): number {
  return BACKEND_PORT_MIN + (change % BACKEND_PORT_COUNT);
}

/** API server and backends run from the start. Agent and client start on demand. */
export class ChangeWorld {
  writer!: Talker<Wrote>;
  #prober: Talker<FirstAnswer | Trips> | null = null;
  readonly #folder = mkdtempSync(join(tmpdir(), 'ktbench-'));
  readonly #talkers: Talker<object>[] = [];

  async begin(services: number): Promise<void> {
    makeTopology();
    batch(namespaceOf('pod2'), [`addr add ${ADDRESSES[1]}/32 dev eth0`]);
    batch(namespaceOf('node'), [
      `route add ${ADDRESSES[1]}/32 dev pod2`,
      // The agent needs an uplink, though there are no other nodes.
      `link add ${UPLINK} mtu ${MTU} type veth peer name ${UPLINK}-peer mtu ${MTU}`,
      `link set ${UPLINK}-peer up`,
      `link set ${UPLINK} up`,
      `addr add ${NODE_ADDRESS}/32 dev ${UPLINK}`,
    ]);
    const about = { clusterIP: VIP, port: PORT, address: ADDRESSES[0]!, targetPort: backend(0) };
    prepareJournal(join(this.#folder, 'journal'), services, NODE_ADDRESS, about);
    await this.#start('node', 'api-process.ts', this.#folder);
    const range = [BACKEND_PORT_MIN, BACKEND_PORT_COUNT];
    await this.#start('pod2', 'backend-process.ts', ...range, ...ADDRESSES);
    this.writer = await this.#start<Wrote>('node', 'writer-process.ts', this.#folder, services);
  }

  startAgent(): Promise<Talker<Published>> {
    return this.#start('node', 'agent-process.ts', this.#folder, ARENA);
  }

  /** One client for all agents, because it must not reuse the source port of a known flow. */
  async startProber(): Promise<Talker<FirstAnswer | Trips>> {
    if (this.#prober) return this.#prober;
    this.#prober = await this.#start('pod1', 'prober-process.ts', VIP, PORT);
    await this.#prober.hear('an answer', (one) => 'backend' in one);
    return this.#prober;
  }

  /** Stops all processes, last one first, and removes everything. */
  async end(): Promise<void> {
    for (const talker of this.#talkers.splice(0).toReversed()) await talker.end();
    removeTopology();
    rmSync(ARENA, { force: true });
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #start<T extends object>(...args: Parameters<typeof Talker.start>): Promise<Talker<T>> {
    const talker = await Talker.start<T>(...args);
    this.#talkers.push(talker);
    return talker;
  }
}
