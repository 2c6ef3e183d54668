import type { Command } from 'commander';
import { KubetunError } from '../../datapath/error.ts';
import { askAgent, proxyOf } from '../admin-client.ts';
import { CLOUD } from '../places.ts';
import type { PolicyDescription } from '../policy/describe.ts';
import { nodeCommand } from './options.ts';
import { formatTable, print } from './output.ts';

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
  nodeCommand(
    policy,
    'list',
    'list policies with the pods that they select, and what they have allowed and dropped',
    async (lab, { node, output }) => {
      const policies = await policiesOf(lab, node);
      print(output, policies, () => formatPolicies(policies));
    },
  ).addHelpText(
    'after',
    `
ALLOWED counts new connections, DROPPED counts packets. AUDIT counts connections that a policy with
the annotation kubetun.dev/audit=true would have stopped. Counters are those of this node. They
start with the policy or with the node's arena. A dropped packet counts for each policy that selects
the pod. MODE is "refused" if the rules are not in force; a line below the table gives the reason.

Examples:
  scripts/kubetun policy list --node node1
  scripts/kubetun explain --from shop/web --to shop/db:5432     why one packet passes or not`,
  );
  nodeCommand(
    policy,
    'check',
    'show probable mistakes: policies and rules that select no pod',
    async (lab, { node, output }) => {
      const policies = await policiesOf(lab, node);
      const findings = policies.flatMap(({ policy, findings }) =>
        findings.map((finding) => ({ policy, finding })),
      );
      if (findings.length > 0) process.exitCode = 1;
      print(output, findings, () => formatFindings(findings, policies.length));
    },
  ).addHelpText(
    'after',
    `
The exit code is 1 if there is one.

Example:
  scripts/kubetun policy check --node node1`,
  );
}

async function policiesOf(lab: string, node: string): Promise<PolicyDescription[]> {
  if (node === CLOUD) {
    const message = 'the cloud enforces no NetworkPolicy: only nodes do';
    throw new KubetunError('KT_POLICY_CLOUD', message, 'name a node with --node');
  }
  const policies = await askAgent<PolicyDescription[]>(lab, node, '/policies');
  if (policies.length > 0 && (await proxyOf(lab, node)) === 'nftables') {
    process.stderr.write(`  ${node} runs --proxy nftables: it does not enforce them\n`);
  }
  return policies;
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

function formatFindings(findings: Finding[], policies: number): string {
  if (findings.length === 0)
    return `${policies} ${policies === 1 ? 'policy' : 'policies'}, no findings`;
  return formatTable(
    ['POLICY', 'FINDING'],
    findings.map(({ policy, finding }) => [policy, finding]),
  );
}
