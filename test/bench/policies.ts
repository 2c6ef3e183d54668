// Many NetworkPolicies that all concern, or could concern, the benchmark's clients and endpoints.
import type { NetworkPolicyRow, PolicyPodRow } from '../../control/model/policy-rows.ts';
import { PolicyTables } from '../../control/model/policy-tables.ts';
import { PolicyCompiler } from '../../control/policy/compiler.ts';
import type { PolicyChange } from '../../datapath/policy/policy.ts';
import { parseAddress, parseRange } from '../../datapath/wire/address.ts';

/** Number of kinds of pods, by labels. */
const KINDS = 20;
const NODE = parseAddress('172.18.0.11')!;
const BLOCK = parseRange('198.51.100.0/24')!.address;

/**
 * Makes policies. Half of them isolate the endpoints and admit a kind of clients or a block of
 * addresses. The others isolate a kind of clients and allow them the endpoints.
 */
export function policyTables(
  count: number,
  clients: readonly number[],
  endpoints: readonly number[],
  tables = new PolicyTables(),
): PolicyTables {
  tables.putNamespace({ name: 'bench', labels: {} });
  clients.forEach((address, i) => {
    tables.putPod(benchPod(`client-${i}`, address, i));
  });
  endpoints.forEach((address, i) => {
    tables.putPod({ ...benchPod(`web-${i}`, address, i), labels: { app: 'web' } });
  });
  for (let n = 0; n < count; n++) tables.putPolicy(n % 2 === 0 ? inbound(n) : outbound(n));
  return tables;
}

/** For a datapath without policies. */
export function compilePolicies(tables: PolicyTables): PolicyChange {
  const none = { generation: 0, pods: new Map(), names: new Map() };
  return new PolicyCompiler(none).compile(tables, tables.takeChanges())!;
}

/** A client's pod of the n-th kind. */
export function benchPod(name: string, address: number, n: number): PolicyPodRow {
  return {
    ...{ key: `bench/${name}`, namespace: 'bench', uid: name, address, node: NODE },
    ...{ labels: { app: `client-${n % KINDS}` }, ports: [], ending: false },
  };
}

const labelled = (app: string) => ({ matchLabels: { app } });
const base = (n: number) => ({
  key: `bench/p${n}`,
  namespace: 'bench',
  audited: false,
  createdMs: 0,
});
const ports = (n: number) =>
  [8080, 9000 + n].map((p) => ({ proto: 6, name: null, first: p, last: p }));

function inbound(n: number): NetworkPolicyRow {
  const pods = [{ namespaces: null, pods: labelled(`client-${(n / 2) % KINDS}`) }];
  const blocks = [{ cidr: { address: BLOCK + (n % 256), length: 32 }, except: [] }];
  const ingress = [{ pods, blocks, ports: ports(n) }];
  return { ...base(n), selector: labelled('web'), ingress, egress: null };
}

function outbound(n: number): NetworkPolicyRow {
  const pods = [{ namespaces: null, pods: labelled('web') }];
  const egress = [{ pods, blocks: [], ports: ports(n) }];
  const selector = labelled(`client-${((n - 1) / 2) % KINDS}`);
  return { ...base(n), selector, ingress: null, egress };
}
