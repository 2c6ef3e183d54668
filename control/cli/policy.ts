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

/** `kubetun policy`: NetworkPolicies as a node's datapath has them. */
export function register(program: Command): void {
  const policy = program
    .command('policy')
    .description('show the NetworkPolicies that a node enforces, and what they have done');
  add(policy, 'list', 'every policy: whom it selects, and what it has let pass and dropped')
    .addHelpText(
      'after',
      `
ALLOWED counts new connections, DROPPED packets, AUDIT connections that a policy annotated
kubetun.dev/audit=true would have stopped: of this node, since the policy came or its datapath's memory was made.
A packet that several policies have no rule for counts for each of them.
MODE is refused for a policy whose rules are not in force; the line below the table says why.

Examples:
  scripts/kubetun policy list --node node1
  scripts/kubetun explain --from shop/web --to shop/db:5432     why one packet passes or not`,
    )
    .action(withPolicies((policies) => [policies, formatPolicies(policies)]));
  add(policy, 'check', 'what is probably not meant: policies and rules that select nobody')
    .addHelpText(
      'after',
      `
Exit code 1 if there is such a policy.

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
      const message = 'the cloud has no NetworkPolicy: nodes enforce them';
      throw new KubetunError('KT_POLICY_CLOUD', message, 'name a node with --node');
    }
    const policies = await askAgent<PolicyDescription[]>(lab, options.node, '/policies');
    if (policies.length > 0 && (await proxyOf(lab, options.node)) === 'nftables') {
      process.stderr.write(`  ${options.node} runs --proxy nftables: it enforces none of these\n`);
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
  if (findings.length === 0) return `${policies} policies, nothing to say`;
  return formatTable(
    ['POLICY', 'FINDING'],
    findings.map(({ policy, finding }) => [policy, finding]),
  );
}
