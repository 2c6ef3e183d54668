import { type BenchService, benchServices } from '../services.ts';
import { addressOf, run, VIP } from '../topology.ts';
import type { Twin } from '../twin.ts';

/**
 * DNAT in the chains that kube-proxy writes: one rule per Service in KUBE-SERVICES, the matched one
 * last.
 */
export const iptables: Twin = {
  name: 'iptables',
  tool: { program: 'iptables-legacy', package: 'iptables' },
  datagrams: true,
  attach: 'veth',
  address: VIP,
  async begin(services) {
    run('node', ['iptables-legacy-restore'], rules(benchServices(services, addressOf('pod2'))));
  },
  async end() {
    const empty = ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'].map((c) => `:${c} ACCEPT [0:0]`);
    run('node', ['iptables-legacy-restore'], `*nat\n${empty.join('\n')}\nCOMMIT\n`);
  },
};

function rules(services: BenchService[]): string {
  const names = services.map((_, i) => i.toString(36).toUpperCase().padStart(16, '0'));
  const chains = names.flatMap((name) => [
    `:KUBE-SVC-${name} - [0:0]`,
    `:KUBE-SEP-${name} - [0:0]`,
  ]);
  const entries = services.map(
    ({ address, port, proto }, i) =>
      `-A KUBE-SERVICES -d ${address}/32 -p ${proto} -m ${proto} --dport ${port} -j KUBE-SVC-${names[i]}`,
  );
  const endpoints = services.flatMap(({ proto, endpoint, endpointPort }, i) => [
    `-A KUBE-SVC-${names[i]} -j KUBE-SEP-${names[i]}`,
    `-A KUBE-SEP-${names[i]} -p ${proto} -m ${proto} -j DNAT --to-destination ${endpoint}:${endpointPort}`,
  ]);
  return [
    '*nat',
    ...['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'].map((chain) => `:${chain} ACCEPT [0:0]`),
    ':KUBE-SERVICES - [0:0]',
    ...chains,
    '-A PREROUTING -j KUBE-SERVICES',
    '-A OUTPUT -j KUBE-SERVICES',
    ...entries,
    ...endpoints,
    'COMMIT',
    '',
  ].join('\n');
}
