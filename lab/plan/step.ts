/** What must exist once a step is applied, in the words of ip(8). */
export type Expectation =
  | { link: string; address?: string; mtu?: number }
  | { route: string; via?: string }
  /** A routing rule, as `ip rule add` takes it. */
  | { rule: string };

/** One side effect of `lab up`, as data that can be printed, applied, checked and undone. */
export type Step =
  | { kind: 'namespace'; namespace: string }
  /** Values below /proc/sys/net of the namespace. They end with it. */
  | { kind: 'sysctl'; namespace: string; values: [path: string, value: string][] }
  | NetworkStep;

/**
 * Lines of `ip -batch` inside the namespace. `undo` tolerates missing objects. `again` holds the
 * connected routes: the kernel adds them with an address, but not again after a flush of routes.
 */
export interface NetworkStep {
  kind: 'network';
  namespace: string;
  title: string;
  lines: string[];
  again: string[];
  undo: string[];
  expect: Expectation[];
}

/** A plan as shell commands, in order. */
export function formatPlan(steps: Step[]): string {
  return steps.flatMap(formatStep).join('\n');
}

function formatStep(step: Step): string[] {
  switch (step.kind) {
    case 'namespace':
      return [`ip netns add ${step.namespace}`];
    case 'sysctl': {
      const values = step.values.map(
        ([path, value]) => `net.${path.replaceAll('/', '.')}="${value}"`,
      );
      return [`ip netns exec ${step.namespace} sysctl -w ${values.join(' ')}`];
    }
    case 'network':
      return [`# ${step.title}`, ...step.lines.map((line) => `ip -n ${step.namespace} ${line}`)];
  }
}
