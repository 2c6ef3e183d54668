// The probes of one container, and what follows from them.

import type { WallClock } from '../../../control/clock.ts';
import type { Container, Probe } from '../../../control/kube/kinds.ts';
import type { ActionResult } from '../action/network.ts';
import { ProbeLoop, planProbe } from './loop.ts';

/** As events call them. */
export type ProbeKind = 'Startup' | 'Liveness' | 'Readiness';

export interface ProbeHost {
  clock: WallClock;
  /** 0 to 1; spreads the first probes of containers that are taken over. */
  random: () => number;
  attempt: (probe: Probe, timeoutMs: number) => Promise<ActionResult>;
  /** `started` or `ready` is another than before. */
  onChange: () => void;
  onUnhealthy: (kind: ProbeKind, output: string) => void;
  /** The container is to be killed; its own grace period if the probe has one. */
  onDead: (kind: ProbeKind, graceS: number | undefined) => void;
}

/** What an earlier runner has found out about a container. */
export interface Found {
  started: boolean;
  ready: boolean;
}

/**
 * Until its startup probe has succeeded a container is neither started nor probed otherwise.
 * Without a readiness probe one that has started is ready. pkg/kubelet/prober.
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

  /**
   * Begins with a container that has started just now, or with one that was `found` running, as it
   * was found.
   */
  begin(startedMs: number, found?: Found): void {
    this.stop();
    const { startupProbe, readinessProbe } = this.#container;
    this.#startedMs = startedMs;
    this.started = !startupProbe || found?.started === true;
    this.ready = this.started && (!readinessProbe || found?.ready === true);
    if (this.started) this.#probeStarted(found !== undefined);
    else this.#loop('Startup', startupProbe!, found !== undefined);
  }

  /** Nobody is to be restarted any more; readiness goes on. */
  beginTermination(): void {
    this.#terminating = true;
    this.#loops.Startup?.stop();
    this.#loops.Liveness?.stop();
  }

  /** The container has ended, or is looked after no more. */
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
    // All containers of a lab are taken over at once, but need not all be probed at once.
    loop.start(this.#startedMs, found ? random() * plan.periodMs : 0);
  }

  #onVerdict(kind: ProbeKind, good: boolean, probe: Probe): void {
    if (kind === 'Readiness') return this.#set({ ready: good });
    if (!good) {
      // It ends, and whatever its probes say until then is of no interest.
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
