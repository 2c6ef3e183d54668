// Services that fill a datapath's tables. The measured one is the last.
import { CONNECT_PORT, FLOOD_PORT, IPERF_PORT, VIP } from './topology.ts';

export interface BenchService {
  address: string;
  port: number;
  proto: 'tcp' | 'udp';
  endpoint: string;
  endpointPort: number;
}

/** `count` Services with one endpoint each. The last are those of the measured address. */
export function benchServices(count: number, server: string): BenchService[] {
  const measured: BenchService[] = [
    service(VIP, FLOOD_PORT, 'udp', server, FLOOD_PORT),
    service(VIP, IPERF_PORT, 'tcp', server, IPERF_PORT),
    service(VIP, CONNECT_PORT, 'tcp', server, CONNECT_PORT),
  ];
  const others = Array.from({ length: Math.max(0, count - measured.length) }, (_, i) =>
    service(`10.96.${(i >> 8) & 127}.${i & 255}`, 80 + (i >> 15), 'tcp', endpointOf(i), 8080),
  );
  return [...others, ...measured];
}

function service(
  address: string,
  port: number,
  proto: 'tcp' | 'udp',
  endpoint: string,
  endpointPort: number,
): BenchService {
  return { address, port, proto, endpoint, endpointPort };
}

function endpointOf(i: number): string {
  return `10.244.${100 + ((i >> 8) & 127)}.${i & 255}`;
}
