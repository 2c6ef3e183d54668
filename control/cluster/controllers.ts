import { StatusError } from '../apiserver/status.ts';
import type { Registry } from '../apiserver/verbs/registry.ts';
import { WALL_CLOCK, type WallClock } from '../clock.ts';
import { ClaimController } from '../controllers/claims/controller.ts';
import { VolumeController } from '../controllers/claims/volumes.ts';
import { Cluster, type Controller } from '../controllers/controller.ts';
import { DaemonSetController } from '../controllers/daemonset/controller.ts';
import { DeploymentController } from '../controllers/deployment/controller.ts';
import { EndpointSliceController } from '../controllers/endpoints/controller.ts';
import { EndpointsController } from '../controllers/endpoints/legacy.ts';
import { MirroringController } from '../controllers/endpoints/mirror.ts';
import { EventExpiry } from '../controllers/event-expiry.ts';
import { GarbageCollector } from '../controllers/garbage.ts';
import { JobController } from '../controllers/job/controller.ts';
import { CronJobController } from '../controllers/job/cron.ts';
import { LoadBalancerController } from '../controllers/loadbalancer/controller.ts';
import { NamespaceController } from '../controllers/namespaces.ts';
import { NodeLifecycleController } from '../controllers/nodes/controller.ts';
import { TaintEviction } from '../controllers/nodes/eviction.ts';
import { ReplicaSetController } from '../controllers/replicaset/controller.ts';
import { Scheduler } from '../controllers/scheduler/controller.ts';
import { StatefulSetController } from '../controllers/statefulset/controller.ts';
import type { KubeObject } from '../kube/object.ts';

/**
 * A controller, and the plural of the kind whose keys its queue holds. Null if the queue holds
 * other keys.
 */
type Row = [controller: Controller, kind: string | null];

export interface Controllers {
  stop(): void;
  /** Resolves when no controller has work. */
  idle(): Promise<void>;
}

/**
 * Starts all controllers over the objects of a server, on its thread.
 *
 * @param publicRange addresses for load balancers, null without load balancers.
 * @param claimsFolder where the folders of claims are, null if claims get no volumes.
 */
export function startControllers(
  registry: Registry,
  publicRange: string | null,
  clock: WallClock = WALL_CLOCK,
  claimsFolder: string | null = null,
): Controllers {
  const cluster = new Cluster(registry, clock);
  const rows: Row[] = [
    [new EndpointSliceController(cluster), 'services'],
    [new EndpointsController(cluster), 'services'],
    [new MirroringController(cluster), 'endpoints'],
    [new Scheduler(cluster), 'pods'],
    [new NamespaceController(cluster), 'namespaces'],
    [new GarbageCollector(cluster), null],
    [new ReplicaSetController(cluster), 'replicasets'],
    [new DeploymentController(cluster), 'deployments'],
    [new StatefulSetController(cluster), 'statefulsets'],
    [new DaemonSetController(cluster), 'daemonsets'],
    [new JobController(cluster), 'jobs'],
    [new CronJobController(cluster), 'cronjobs'],
    [new NodeLifecycleController(cluster), 'nodes'],
    [new EventExpiry(cluster), null],
    [new TaintEviction(cluster), 'pods'],
    [new ClaimController(cluster, claimsFolder), 'persistentvolumeclaims'],
    [new VolumeController(cluster, claimsFolder), 'persistentvolumes'],
  ];
  if (publicRange !== null) {
    rows.push([new LoadBalancerController(cluster, publicRange), 'services']);
  }
  showSkips(cluster, rows);
  const all = rows.map(([controller]) => controller);
  return {
    stop() {
      for (const controller of all) controller.stop();
    },
    async idle() {
      // A write of one controller can be work for another.
      while (!all.every(({ queue }) => queue.isIdle)) {
        for (const { queue } of all) await queue.idle();
      }
      await cluster.events.flush();
    },
  };
}

/** From now on records an event on each object on which a controller fails. */
function showSkips(cluster: Cluster, rows: Row[]): void {
  const { store } = cluster;
  const show = (kind: string, object: KubeObject, { message }: Error) => {
    if (kind === 'events') return; // An event on an event could fail again.
    const why = `a controller failed: ${message}`;
    cluster.record(object, 'kubetun-controllers', 'Warning', 'ObjectSkipped', why);
  };
  const log = store.onSkip;
  store.onSkip = (kind, object, error) => {
    log(kind, object, error);
    show(kind, object, error);
  };
  for (const [{ queue }, kind] of rows) {
    queue.onFailure = (key, error) => {
      // Refusals are normal: another write came first, or a namespace ends.
      if (kind === null || error instanceof StatusError) return;
      const object = store.at(kind, key.includes('/') ? key : `/${key}`);
      if (object) show(kind, object, error);
    };
  }
}
