// The datapaths that are measured beside each other.
import { findTool } from '../../../lab/host/tools.ts';
import type { Twin } from './twin.ts';
import { haproxy } from './twins/haproxy.ts';
import { iptables } from './twins/iptables.ts';
import { kernelForward } from './twins/kernel.ts';
import { kubetunTun, kubetunVeth } from './twins/kubetun.ts';
import { nftables } from './twins/nftables.ts';
import { socat } from './twins/socat.ts';

/** In the order of a report's columns. */
export const TWINS: Twin[] = [
  kernelForward,
  iptables,
  nftables,
  haproxy,
  socat,
  kubetunVeth,
  kubetunTun,
];

/** True if the program that a twin needs is on this machine. */
export function isPresent({ tool }: Twin): boolean {
  return tool === undefined || findTool(tool.program) !== null;
}

/** The twins whose program is on this machine, and a line for each of the others. */
export function presentTwins(): { twins: Twin[]; missing: string[] } {
  const missing = TWINS.filter((twin) => !isPresent(twin)).map(
    ({ name, tool }) => `no figures of ${name}: apt-get install ${tool!.package}`,
  );
  return { twins: TWINS.filter(isPresent), missing };
}

/** The twins, beginning with another one in each round: a periodic load must not always hit one. */
export function inTurn(twins: Twin[], round: number): Twin[] {
  const first = (round - 1) % twins.length;
  return [...twins.slice(first), ...twins.slice(0, first)];
}
