import type { Registry } from '../apiserver/registry.ts';
import { type Clock, SYSTEM_CLOCK } from './clock.ts';
import { DeploymentController } from './deployment/controller.ts';
import { EndpointSliceController } from './endpoints/controller.ts';
import { EndpointsController } from './endpoints/legacy.ts';
import { MirroringController } from './endpoints/mirror.ts';
import { EventExpiry } from './event-expiry.ts';
import { GarbageCollector } from './garbage.ts';
import { LoadBalancerController } from './loadbalancer/controller.ts';
import { NamespaceController } from './namespaces.ts';
import { NodeLifecycleController } from './nodes/controller.ts';
import { TaintEviction } from './nodes/eviction.ts';
import { ReplicaSetController } from './replicaset/controller.ts';
import { Scheduler } from './scheduler/controller.ts';

export interface Controllers {
  stop(): void;
  /** Resolves when no controller has anything to do. */
  idle(): Promise<void>;
}

/**
 * Starts every controller over the objects of a server, on the thread that serves them.
 *
 * @param publicRange addresses for load balancers; null where nobody balances.
 */
export function startControllers(
  registry: Registry,
  publicRange: string | null,
  clock: Clock = SYSTEM_CLOCK,
): Controllers {
  const cluster = { store: registry.store, registry, clock };
  const all = [
    new EndpointSliceController(cluster),
    new EndpointsController(cluster),
    new MirroringController(cluster),
    new Scheduler(cluster),
    new NamespaceController(cluster),
    new GarbageCollector(cluster),
    new ReplicaSetController(cluster),
    new DeploymentController(cluster),
    new NodeLifecycleController(cluster),
    new EventExpiry(cluster),
    new TaintEviction(cluster),
    ...(publicRange === null ? [] : [new LoadBalancerController(cluster, publicRange)]),
  ];
  return {
    stop() {
      for (const controller of all) controller.stop();
    },
    async idle() {
      // What one controller writes may be work for another.
      while (!all.every(({ queue }) => queue.isIdle)) {
        for (const { queue } of all) await queue.idle();
      }
    },
  };
}
