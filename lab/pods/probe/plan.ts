import type { Probe } from '../../../control/kube/kinds.ts';

/** A probe's numbers. */
export interface ProbePlan {
  /** After the start of the container. */
  delayMs: number;
  periodMs: number;
  timeoutMs: number;
  successThreshold: number;
  failureThreshold: number;
}

/** Upstream's defaults, pkg/apis/core/v1/defaults.go, where a probe leaves a number out. */
export function planProbe(probe: Probe): ProbePlan {
  return {
    delayMs: (probe.initialDelaySeconds ?? 0) * 1000,
    periodMs: (probe.periodSeconds || 10) * 1000,
    timeoutMs: (probe.timeoutSeconds || 1) * 1000,
    successThreshold: probe.successThreshold || 1,
    failureThreshold: probe.failureThreshold || 3,
  };
}
