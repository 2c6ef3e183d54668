// All probes of one container and their consequences.

import type { WallClock } from '../../../control/clock.ts';
import type { Container, Probe } from '../../../control/kube/kinds.ts';
import type { ActionResult } from '../action/network.ts';
import { ProbeLoop, planProbe } from './loop.ts';

/** Kind of a probe, as in events. */
export type ProbeKind = 'Startup' | 'Liveness' | 'Readiness';

export interface ProbeHost {
  clock: WallClock;
  /** 0 to 1. Spreads the first probes of adopted containers. */
  random: () => number;
  attempt: (probe: Probe, timeoutMs: number) => Promise<ActionResult>;
  /** `started` or `ready` has changed. */
  onChange: () => void;
  onUnhealthy: (kind: ProbeKind, output: string) => void;
  /** The container must be killed, with the probe's grace period if it has one. */
  onDead: (kind: ProbeKind, graceS: number | undefined) => void;
}

/** State of a container from an earlier runner. */
export interface Found {
  started: boolean;
  ready: boolean;
}

/**
 * Before its startup probe succeeds, a container is not started and no other probe runs. Without a
 * readiness probe a started container is ready. Source: pkg/kubelet/prober.
 */
export class ContainerProbes {
  started = false;
  ready = false;
  readonly #container: Container;
  readonly #host: ProbeHost;
  #loops: Partial<Record<ProbeKind, ProbeLoop>> = {};
  #startedMs = 0;
  #terminating = false;

  constructor(container: Container, host: ProbeHost) {
    this.#container = container;
    this.#host = host;
  }

  /** Starts the probes of a new container, or of an adopted one with its state `found`. */
  begin(startedMs: number, found?: Found): void {
    this.stop();
    const { startupProbe, readinessProbe } = this.#container;
    this.#startedMs = startedMs;
    this.started = !startupProbe || found?.started === true;
    this.ready = this.started && (!readinessProbe || found?.ready === true);
    if (this.started) this.#probeStarted(found !== undefined);
    else this.#loop('Startup', startupProbe!, found !== undefined);
  }

  /** Stops the startup and liveness probes. Readiness goes on. */
  beginTermination(): void {
    this.#terminating = true;
    this.#loops.Startup?.stop();
    this.#loops.Liveness?.stop();
  }

  /** Stops all probes. The container has ended or is abandoned. */
  stop(): void {
    for (const loop of Object.values(this.#loops)) loop.stop();
    this.#loops = {};
    this.started = false;
    this.ready = false;
  }

  #probeStarted(found: boolean): void {
    const { livenessProbe, readinessProbe } = this.#container;
    if (livenessProbe) this.#loop('Liveness', livenessProbe, found);
    if (readinessProbe) this.#loop('Readiness', readinessProbe, found);
  }

  #loop(kind: ProbeKind, probe: Probe, found: boolean): void {
    if (this.#terminating && kind !== 'Readiness') return;
    const { clock, random, attempt, onUnhealthy } = this.#host;
    const plan = planProbe(probe);
    const loop = new ProbeLoop(plan, clock, {
      attempt: () => attempt(probe, plan.timeoutMs),
      onBad: (output) => onUnhealthy(kind, output),
      onVerdict: (good) => this.#onVerdict(kind, good, probe),
    });
    this.#loops[kind] = loop;
    // A new supervisor adopts all containers at once. Their probes should not all run at once.
    loop.start(this.#startedMs, found ? random() * plan.periodMs : 0);
  }

  #onVerdict(kind: ProbeKind, good: boolean, probe: Probe): void {
    if (kind === 'Readiness') return this.#set({ ready: good });
    if (!good) {
      // The container is ending, so its probes no longer matter.
      this.#loops.Startup?.stop();
      this.#loops.Liveness?.stop();
      return this.#host.onDead(kind, probe.terminationGracePeriodSeconds);
    }
    if (kind !== 'Startup') return;
    this.#loops.Startup?.stop();
    this.#set({ started: true, ready: !this.#container.readinessProbe });
    this.#probeStarted(false);
  }

  #set(change: Partial<Found>): void {
    const { started, ready } = { started: this.started, ready: this.ready, ...change };
    if (started === this.started && ready === this.ready) return;
    Object.assign(this, { started, ready });
    this.#host.onChange();
  }
}
