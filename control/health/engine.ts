// Health and admin routes of an agent with a datapath, whatever its role.
import { readCounters } from '../../datapath/observe/counters.ts';
import { requestTrace } from '../../datapath/observe/trace.ts';
import type { Engine } from '../../datapath/worker/engine.ts';
import type { AgentOptions } from '../agent-options.ts';
import type { AdminRoutes } from '../serve/admin.ts';
import type { Publisher } from '../sync/publisher.ts';
import { checkImage, checkWorker, type HealthCheck, type HealthMonitor } from './monitor.ts';

/** Health checks of the worker and of its image. */
export function engineChecks(engine: Engine): Record<string, HealthCheck> {
  return { worker: checkWorker(engine), image: checkImage(engine.writer) };
}

/** Routes of the admin socket that report on the datapath. */
export function engineRoutes(
  options: Pick<AgentOptions, 'node' | 'arena' | 'proxy'>,
  engine: Engine,
  publisher: Publisher,
  monitor: HealthMonitor,
): AdminRoutes {
  return {
    '/status': () => ({
      node: options.node,
      proxy: options.proxy,
      generation: engine.writer.generation,
      acknowledged: engine.writer.acknowledged(),
      synced: publisher.synced && publisher.published,
      pid: process.pid,
      survived: engine.survived,
      workerRestarts: engine.restarts,
      skipped: publisher.skipped(),
      arena: options.arena,
      ...monitor.report(),
    }),
    '/counters': () => readCounters(engine.arena),
    // Readers map the arena read-only, so the agent requests the trace for them.
    '/trace': () => {
      requestTrace(engine.arena);
      return {};
    },
  };
}
