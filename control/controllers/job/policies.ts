// Policies of a Job about ended pods: pkg/controller/job (pod_failure_policy.go,
// success_policy.go).
import { type KubeObject, keyOf } from '../../kube/object.ts';
import { parseIndexes } from '../../model/indexes.ts';

type Action = 'Count' | 'FailIndex' | 'FailJob' | 'Ignore';

interface Rule {
  action: Action;
  onExitCodes?: { containerName?: string; operator: string; values: number[] };
  onPodConditions?: { type: string; status: string }[];
}

interface ContainerStatus {
  name: string;
  state?: { terminated?: { exitCode: number } };
}

/** What the first matching rule says about a failed pod. The message is for FailJob. */
export function judgeFailure(
  job: KubeObject,
  pod: KubeObject,
): { action: Action; message: string } {
  const rules: Rule[] = job.spec.podFailurePolicy?.rules ?? [];
  for (const [i, rule] of rules.entries()) {
    const why = matchCodes(rule, pod) ?? matchConditions(rule, pod);
    if (why === null) continue;
    return { action: rule.action, message: `${why} matching ${rule.action} rule at index ${i}` };
  }
  return { action: 'Count', message: '' };
}

function matchCodes({ onExitCodes }: Rule, pod: KubeObject): string | null {
  if (!onExitCodes) return null;
  const { containerName, operator, values } = onExitCodes;
  const statuses: ContainerStatus[] = [
    ...(pod.status?.containerStatuses ?? []),
    ...(pod.status?.initContainerStatuses ?? []),
  ];
  for (const { name, state } of statuses) {
    const code = state?.terminated?.exitCode ?? 0;
    if (code === 0 || (containerName !== undefined && name !== containerName)) continue;
    if (values.includes(code) !== (operator === 'In')) continue;
    return `Container ${name} for pod ${keyOf(pod)} failed with exit code ${code}`;
  }
  return null;
}

function matchConditions({ onPodConditions = [] }: Rule, pod: KubeObject): string | null {
  const conditions: { type: string; status: string }[] = pod.status?.conditions ?? [];
  for (const { type, status } of onPodConditions) {
    if (!conditions.some((c) => c.type === type && c.status === status)) continue;
    return `Pod ${keyOf(pod)} has condition ${type}`;
  }
  return null;
}

/** The number of the first rule of the success policy that succeeded indexes fulfil, or null. */
export function matchSuccess({ spec }: KubeObject, succeeded: Set<number>): number | null {
  const rules: { succeededIndexes?: string; succeededCount?: number }[] =
    spec.successPolicy?.rules ?? [];
  const at = rules.findIndex(({ succeededIndexes, succeededCount }) => {
    if (succeededIndexes === undefined) return succeeded.size >= succeededCount!;
    const wanted = parseIndexes(succeededIndexes, spec.completions);
    const there = [...wanted].filter((index) => succeeded.has(index)).length;
    return there >= (succeededCount ?? wanted.size);
  });
  return at < 0 ? null : at;
}
