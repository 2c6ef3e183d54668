import { type BenchService, benchServices } from '../services.ts';
import { run, VIP } from '../topology.ts';
import type { Twin } from '../twin.ts';

/** DNAT by a verdict map from address, protocol and port to a chain per Service, as kube-proxy's nftables mode has it. */
export const nftables: Twin = {
  name: 'nftables',
  address: VIP,
  async begin(services) {
    await nftables.end();
    run('node', ['nft', '-f', '-'], rules(benchServices(services)));
  },
  async end() {
    run('node', ['nft', 'flush', 'ruleset']);
  },
};

function rules(services: BenchService[]): string {
  const chains = services.map(
    ({ endpoint, endpointPort, proto }, i) =>
      `chain s${i} { meta l4proto ${proto} dnat to ${endpoint}:${endpointPort}; }`,
  );
  const elements = services.map(
    ({ address, port, proto }, i) => `${address} . ${proto} . ${port} : goto s${i}`,
  );
  return `table ip kube-proxy {
${chains.join('\n')}
map service-ips {
  type ipv4_addr . inet_proto . inet_service : verdict;
  elements = { ${elements.join(',\n')} }
}
chain services { ip daddr . meta l4proto . th dport vmap @service-ips; }
chain nat-prerouting { type nat hook prerouting priority dstnat; policy accept; jump services; }
chain nat-output { type nat hook output priority -100; policy accept; jump services; }
}
`;
}
