// Routes of a gateway to load balancer addresses that nodes capture themselves: by all of the nodes
// that may have them.

import { ipJson } from '../node/ip.ts';

export class BalancerRoutes {
  /** Address -> the `ip -batch` line of its route. */
  readonly #installed: Map<string, string>;

  /** @param observed routes that a predecessor left, as `readBalancerRoutes` reads them. */
  constructor(observed: ReadonlyMap<string, string>) {
    this.#installed = new Map(observed);
  }

  /**
   * `ip -batch` lines by which these addresses are sent to these nodes, and no others; they count
   * as carried out.
   */
  take(wanted: ReadonlyMap<string, string[]>): string[] {
    const lines: string[] = [];
    for (const [address, nodes] of wanted) {
      const line = routeLine(address, nodes);
      if (this.#installed.get(address) === line) continue;
      this.#installed.set(address, line);
      lines.push(line);
    }
    for (const address of [...this.#installed.keys()]) {
      if (wanted.has(address)) continue;
      this.#installed.delete(address);
      lines.push(`route del ${address}/32`);
    }
    return lines;
  }

  /** `ip -batch` lines from the routes that are there to those that were asked for. */
  diff(observed: ReadonlyMap<string, string>): string[] {
    const stray = [...observed.keys()].filter((address) => !this.#installed.has(address));
    return [
      ...[...this.#installed]
        .filter(([a, line]) => observed.get(a) !== line)
        .map(([, line]) => line),
      ...stray.map((address) => `route del ${address}/32`),
    ];
  }
}

interface RouteJson {
  dst: string;
  gateway?: string;
  nexthops?: { gateway?: string }[];
}

/** Routes of the main table to addresses of a range, by address, each as the line that makes it. */
export function readBalancerRoutes(range: string): Map<string, string> {
  const routes = ipJson<RouteJson>('-4', 'route', 'show', 'root', range) ?? [];
  return new Map(
    routes.map(({ dst, gateway, nexthops = [] }) => {
      const nodes = [gateway, ...nexthops.map((hop) => hop.gateway)];
      return [
        dst,
        routeLine(
          dst,
          nodes.filter((node) => node !== undefined),
        ),
      ];
    }),
  );
}

function routeLine(address: string, nodes: string[]): string {
  if (nodes.length === 0) return `route replace unreachable ${address}/32`;
  if (nodes.length === 1) return `route replace ${address}/32 via ${nodes[0]}`;
  return `route replace ${address}/32 ${nodes.map((node) => `nexthop via ${node}`).join(' ')}`;
}
