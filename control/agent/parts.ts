// What agents of every role share: their life, the datapath, and reports on both.

import { ARENA_SIZES_DEFAULT } from '../../datapath/arena/arena.ts';
import type { Timeouts } from '../../datapath/flow/timeouts.ts';
import { readCounters } from '../../datapath/observe/counters.ts';
import { requestTrace } from '../../datapath/observe/trace.ts';
import type { Range4 } from '../../datapath/wire/address.ts';
import { Engine, type PodPort } from '../../datapath/worker/engine.ts';
import type { Agent, AgentOptions } from '../agent-options.ts';
import {
  checkImage,
  checkWorker,
  type HealthCheck,
  type HealthMonitor,
} from '../health/monitor.ts';
import type { Log } from '../log.ts';
import type { AdminRoutes } from '../serve/admin.ts';
import type { ImageSink, Publisher } from '../sync/publisher.ts';

/**
 * Starts the parts of an agent. They stop in the reverse order, also when a later one fails to
 * start: nothing writes to the arena after its engine.
 */
export async function startParts(
  start: (started: AsyncDisposableStack) => Promise<void>,
  log: Log,
  farewell: string,
): Promise<Agent> {
  const started = new AsyncDisposableStack();
  try {
    await start(started);
  } catch (error) {
    await started.disposeAsync();
    throw error;
  }
  return {
    async stop() {
      await started.disposeAsync();
      log.info({}, farewell);
    },
  };
}

/** Runs a step whose failure does not end the agent. The log gets the error and `message`. */
export function attempt(step: () => unknown, details: object, message: string, log: Log): void {
  try {
    step();
  } catch (error) {
    log.error({ ...details, why: String(error) }, message);
  }
}

/** What a datapath starts with: its timeouts, the ranges that it holds, and ports of pods. */
export interface EngineSetup {
  timeouts: Timeouts;
  heldRanges: Range4[];
  pods?: PodPort[];
}

/** Starts the datapath of an agent. */
export async function startEngine(
  { arena, flows, tun, spoofed, merge, busyPoll }: AgentOptions,
  setup: EngineSetup,
  started: AsyncDisposableStack,
  log: Log,
): Promise<Engine> {
  const engine = await Engine.start({
    ...{ arenaPath: arena, tunName: tun, spoofedTunName: spoofed, ...setup },
    ...{ merge, busyPoll },
    sizes: { ...ARENA_SIZES_DEFAULT, flowsMax: flows },
    log: (message) => log.warn({}, message),
  });
  started.defer(() => engine.stop());
  return engine;
}

/** Health checks of the worker and of its image. */
export function engineChecks(engine: Engine): Record<string, HealthCheck> {
  return { worker: checkWorker(engine), image: checkImage(engine.writer) };
}

/** Part of `/status`, of every agent. */
export function agentStatus(
  { node, proxy }: AgentOptions,
  sink: ImageSink,
  publisher: Publisher,
  monitor: HealthMonitor,
) {
  return {
    ...{ node, proxy, generation: sink.generation, acknowledged: sink.acknowledged() },
    synced: publisher.synced && publisher.published,
    ...{ pid: process.pid, skipped: publisher.skipped(), ...monitor.report() },
  };
}

/** Part of `/status`, of an agent with a datapath. */
export function engineStatus({ survived, restarts }: Engine, { arena }: AgentOptions) {
  return { survived, workerRestarts: restarts, arena };
}

/** Routes of the admin socket that report on the datapath. */
export function engineRoutes({ arena }: Engine): AdminRoutes {
  return {
    '/counters': () => readCounters(arena),
    // Readers map the arena read-only, so the agent requests the trace for them.
    '/trace': () => {
      requestTrace(arena);
      return {};
    },
  };
}
