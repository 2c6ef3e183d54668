// Options of an agent of any role, and the handle of a running one.
import type { TimeoutSeconds } from '../datapath/flow/timeouts.ts';

/** What translates on a node: the userspace datapath, or the kernel by nftables rules. */
export const PROXIES = ['kubetun', 'nftables'] as const;
export type ProxyKind = (typeof PROXIES)[number];

export interface AgentOptions {
  node: string;
  /** Null: the account of the pod that the agent runs in. */
  kubeconfig: string | null;
  /** What replaces the kubeconfig's current context and server. */
  access: { context?: string; server?: string };
  tun: string;
  /**
   * A TUN device for packets of pods whose source is not the pod's; null where nothing redirects
   * them.
   */
  spoofed: string | null;
  /** The device that leads to the other nodes; null for that of the default route. */
  uplink: string | null;
  /** Path of the admin socket. */
  admin: string;
  /** Path of the arena, on tmpfs. */
  arena: string;
  /** Connections that it has room for: a power of two. */
  flows: number;
  /** Timeouts of flows that are not the usual ones. */
  timeouts: TimeoutSeconds;
  /** Null: as the cluster says. */
  serviceRange: string | null;
  /** Beside the Nodes' own ranges. */
  podRanges: string[];
  /** The machine's own network namespace is the node. */
  hostNetwork: boolean;
  /** The node is not the datapath's alone: only Services and pods are steered. */
  narrow: boolean;
  /** Sysctls of the node may be set where they stand in the way. */
  setSysctls: boolean;
  /** Renew the Lease of the node: there is no kubelet that does. */
  lease: boolean;
  /**
   * What translates: the userspace datapath, or the kernel by rules that are compiled from the same
   * tables.
   */
  proxy: ProxyKind;
}

export interface Agent {
  /**
   * Ends everything but what keeps connections alive: the arena, the device and the steering stay.
   */
  stop(): Promise<void>;
}
