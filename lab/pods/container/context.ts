// What a container needs of its pod.

import type { WallClock } from '../../../control/clock.ts';
import type { Container, Pod } from '../../../control/kube/kinds.ts';
import type { ProcessId } from '../../host/process.ts';
import type { Dialer } from '../action/network.ts';

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

/** Whether a container is started again. */
export type RestartPolicy = 'Always' | 'OnFailure' | 'Never';

/** What the API server has of a container from an earlier runner. */
export type EarlierStatus = NonNullable<NonNullable<Pod['status']>['containerStatuses']>[number];
