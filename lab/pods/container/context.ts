// What a pod needs of its runner, and a container of its pod.
import type { Logger } from 'pino';
import type { WallClock } from '../../../control/clock.ts';
import type { KubeClient } from '../../../control/kube/client.ts';
import type { Container, Pod } from '../../../control/kube/kinds.ts';
import type { ProcessId } from '../../host/process.ts';
import type { Dialer } from '../action/network.ts';
import type { ServiceRow } from '../given/service-env.ts';
import type { EventRecorder } from '../status/events.ts';

export interface PodNode {
  name: string;
  namespace: string;
  address: string;
  podCIDR: string;
  mtu: number;
}

/** What a pod needs of its runner. */
export interface PodContext {
  lab: string;
  stateDir: string;
  kube: KubeClient;
  dnsAddress: string;
  projectRoot: string;
  log: Logger;
  clock: WallClock;
  random: () => number;
  events: EventRecorder;
  services: () => Iterable<ServiceRow>;
  node: PodNode;
  address: string;
}

export interface ContainerContext {
  /** In messages: `web_default(uid)`. */
  podName: string;
  projectRoot: string;
  clock: WallClock;
  /** 0 to 1. */
  random: () => number;
  dial: Dialer['dial'];
  podIP: string;
  /** Seconds that a container has to end when it is killed. */
  graceS: number;
  /** Starts a process. Rejects with WaitReason or any other error. */
  launch: (spec: Container, argv: string[]) => Promise<Launched>;
  /** Ends what a container that has ended left behind. */
  endStrays: () => void;
  onChange: () => void;
  onEvent: (type: 'Normal' | 'Warning', reason: string, message: string, spec: Container) => void;
}

/** A container that was launched: `onExit` calls back once, with how its process ended. */
export interface Launched {
  /** Null if it ended before it was seen. */
  process: ProcessId | null;
  sandbox: ProcessId;
  onExit: (tell: (code: number | null, signal: NodeJS.Signals | null) => void) => void;
}

/** What the API server has of a container from an earlier runner. */
export type EarlierStatus = NonNullable<NonNullable<Pod['status']>['containerStatuses']>[number];
