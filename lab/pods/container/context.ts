// What a pod gets from its runner, and a container from its pod.
import type { Logger } from 'pino';
import type { WallClock } from '../../../control/clock.ts';
import type { KubeClient } from '../../../control/kube/client.ts';
import type { Container, Pod } from '../../../control/kube/kinds.ts';
import type { ProcessId } from '../../host/process.ts';
import type { Attach } from '../../topology/topology.ts';
import type { Dialer } from '../action/network.ts';
import type { ServiceRow } from '../given/service-env.ts';
import type { PodEvents } from '../status/events.ts';
import type { Program } from './images.ts';

export interface PodNode {
  name: string;
  namespace: string;
  address: string;
  podCIDR: string;
  mtu: number;
  attach: Attach;
}

/** What a pod gets from its runner. */
export interface PodContext {
  lab: string;
  stateDir: string;
  kube: KubeClient;
  dnsAddress: string;
  projectRoot: string;
  log: Logger;
  clock: WallClock;
  random: () => number;
  events: PodEvents;
  services: () => Iterable<ServiceRow>;
  /** Resolves when the datapath of a node forwards for the first time. */
  forwards: (node: string) => Promise<void>;
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
  /** Resolves when a dial from the node can reach the pod. */
  reachable: () => Promise<void>;
  podIP: string;
  /** Grace period of a container that is killed, seconds. */
  graceS: number;
  /** Starts a process. Rejects with WaitReason or any other error. */
  launch: (spec: Container, program: Program) => Promise<Launched>;
  /** The termination message of a container. '' if it left none. */
  message: (spec: Container) => string;
  /** Ends processes that an ended container left behind. */
  endStrays: () => void;
  onChange: () => void;
  onEvent: (type: 'Normal' | 'Warning', reason: string, message: string, spec: Container) => void;
}

/** A launched container. `onExit` calls back once when the process ends. */
export interface Launched {
  /** Null if the process ended before it was seen. */
  process: ProcessId | null;
  sandbox: ProcessId;
  onExit: (tell: (code: number | null, signal: NodeJS.Signals | null) => void) => void;
}

/** A container's status in the API server, written by an earlier runner. */
export type EarlierStatus = NonNullable<NonNullable<Pod['status']>['containerStatuses']>[number];
