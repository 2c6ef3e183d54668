// Options of an agent of any role, and the handle of a running one.
import type { TimeoutSeconds } from '../datapath/flow/timeouts.ts';
import { BUSY_POLL_AUTO, BUSY_POLL_US_MAX } from '../datapath/worker/busy-poll.ts';

/** What translates on a node: the userspace datapath, or the kernel by nftables rules. */
export const PROXIES = ['kubetun', 'nftables'] as const;
export type ProxyKind = (typeof PROXIES)[number];

/** Whether packets of one flow are written merged. */
export const MERGES = ['on', 'off'] as const;
export type Merge = (typeof MERGES)[number];

/** Us of `--busy-poll`, from auto, off, or a number. Null for another text. */
export function parseBusyPoll(text: string): number | null {
  if (text === 'auto') return BUSY_POLL_AUTO;
  if (text === 'off') return 0;
  const us = /^\d+$/.test(text) ? Number(text) : 0;
  return us >= 1 && us <= BUSY_POLL_US_MAX ? us : null;
}

export interface AgentOptions {
  node: string;
  /** Null: the service account of the agent's pod. */
  kubeconfig: string | null;
  /** Context and server that override those of the kubeconfig. */
  access: { context?: string; server?: string };
  tun: string;
  /** TUN device for pods' packets with a wrong source; null if nothing redirects them. */
  spoofed: string | null;
  /** Device that leads to the other nodes; null for that of the default route. */
  uplink: string | null;
  /** Path of the admin socket. */
  admin: string;
  /** Path of the arena, on tmpfs. */
  arena: string;
  /** Size of the flow table: a power of two. */
  flows: number;
  /** Write packets of one flow merged where the kernel splits them again. */
  merge: boolean;
  /** How long the datapath polls for packets before it sleeps, us. BUSY_POLL_AUTO decides. */
  busyPoll: number;
  /** Timeouts that differ from the defaults. */
  timeouts: TimeoutSeconds;
  /** Null: read from the cluster. */
  serviceRange: string | null;
  /** Pod ranges in addition to those of the Nodes. */
  podRanges: string[];
  /** The node is the machine's own network namespace. */
  hostNetwork: boolean;
  /** Steer Services and pods only: the node has other traffic too. */
  narrow: boolean;
  /** The agent may set sysctls of the node that are wrong. */
  setSysctls: boolean;
  /** Renew the Lease of the node, which has no kubelet. */
  lease: boolean;
  /** What translates on this node. */
  proxy: ProxyKind;
}

export interface Agent {
  /** Stops the agent. The arena, the device and the steering stay, so connections survive. */
  stop(): Promise<void>;
}
