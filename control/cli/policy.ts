import type { Command } from 'commander';
import { KubetunError } from '../../datapath/error.ts';
import { askAgent, proxyOf } from '../admin-client.ts';
import { CLOUD } from '../places.ts';
import type { PolicyDescription } from '../policy/describe.ts';
import { labOf, labOption, nodeOption, requireNode } from './options.ts';
import { formatTable, type OutputFormat, outputOption, print } from './output.ts';

/** What `policy check -o json` prints for each finding. */
interface Finding {
  policy: string;
  finding: string;
}

/** `kubetun policy`: NetworkPolicies that a node's datapath enforces. */
export function register(program: Command): void {
  const policy = program
    .command('policy')
    .description('show the NetworkPolicies that a node enforces, and their counters');
  add(
    policy,
    'list',
    'list policies with the pods that they select, and what they have allowed and dropped',
  )
    .addHelpText(
      'after',
      `
ALLOWED counts new connections, DROPPED counts packets. AUDIT counts connections that a policy with
the annotation kubetun.dev/audit=true would have stopped. Counters are those of this node. They
start with the policy or with the node's arena. A dropped packet counts for each policy that selects
the pod. MODE is "refused" if the rules are not in force; a line below the table gives the reason.

Examples:
  scripts/kubetun policy list --node node1
  scripts/kubetun explain --from shop/web --to shop/db:5432     why one packet passes or not`,
    )
    .action(withPolicies((policies) => [policies, formatPolicies(policies)]));
  add(policy, 'check', 'show probable mistakes: policies and rules that select no pod')
    .addHelpText(
      'after',
      `
The exit code is 1 if there is one.

Example:
  scripts/kubetun policy check --node node1`,
    )
    .action(
      withPolicies((policies) => {
        const findings = findingsOf(policies);
        if (findings.length > 0) process.exitCode = 1;
        return [findings, formatFindings(findings, policies.length)];
      }),
    );
}

function add(policy: Command, name: string, description: string): Command {
  return policy
    .command(name)
    .description(description)
    .addOption(nodeOption())
    .addOption(outputOption())
    .addOption(labOption());
}

function withPolicies(show: (policies: PolicyDescription[]) => [object, string]) {
  return async (options: { node: string; output: OutputFormat }, command: Command) => {
    const lab = labOf(command);
    requireNode(lab, options.node);
    if (options.node === CLOUD) {
      const message = 'the cloud enforces no NetworkPolicy: only nodes do';
      throw new KubetunError('KT_POLICY_CLOUD', message, 'name a node with --node');
    }
    const policies = await askAgent<PolicyDescription[]>(lab, options.node, '/policies');
    if (policies.length > 0 && (await proxyOf(lab, options.node)) === 'nftables') {
      process.stderr.write(`  ${options.node} runs --proxy nftables: it does not enforce them\n`);
    }
    const [value, text] = show(policies);
    print(options.output, value, () => text);
  };
}

export function formatPolicies(policies: PolicyDescription[]): string {
  if (policies.length === 0) return 'no NetworkPolicy: every pod may talk to every other';
  const rows = policies.map(({ policy, types, audited, pods, ingress, egress, refused }) => [
    policy,
    types.join(','),
    refused.length > 0 ? 'refused' : audited ? 'audit' : 'enforced',
    String(pods.length),
    ...[ingress.allowed, ingress.dropped, egress.allowed, egress.dropped].map(String),
    String(ingress.audited + egress.audited),
  ]);
  const head = ['POLICY', 'TYPES', 'MODE', 'PODS'];
  const counts = ['IN ALLOWED', 'IN DROPPED', 'OUT ALLOWED', 'OUT DROPPED', 'AUDIT'];
  const reasons = policies.flatMap(({ policy, refused }) =>
    refused.map((reason) => `${policy}: ${reason}`),
  );
  return [formatTable([...head, ...counts], rows), ...reasons].join('\n');
}

function findingsOf(policies: PolicyDescription[]): Finding[] {
  return policies.flatMap(({ policy, findings }) =>
    findings.map((finding) => ({ policy, finding })),
  );
}

function formatFindings(findings: Finding[], policies: number): string {
  if (findings.length === 0)
    return `${policies} ${policies === 1 ? 'policy' : 'policies'}, no findings`;
  return formatTable(
    ['POLICY', 'FINDING'],
    findings.map(({ policy, finding }) => [policy, finding]),
  );
}
