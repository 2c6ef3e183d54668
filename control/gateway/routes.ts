// Routes of a gateway to load balancer addresses that nodes capture themselves: by all of the nodes that may have them.

export class BalancerRoutes {
  /** Address -> its route; null for one that a predecessor left. */
  readonly #installed: Map<string, string | null>;

  /** @param installed addresses that a predecessor left routes to. */
  constructor(installed: Iterable<string>) {
    this.#installed = new Map([...installed].map((address) => [address, null]));
  }

  /** `ip -batch` lines by which these addresses are sent to these nodes, and no others; they count as carried out. */
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
}

function routeLine(address: string, nodes: string[]): string {
  if (nodes.length === 0) return `route replace unreachable ${address}/32`;
  if (nodes.length === 1) return `route replace ${address}/32 via ${nodes[0]}`;
  return `route replace ${address}/32 ${nodes.map((node) => `nexthop via ${node}`).join(' ')}`;
}
