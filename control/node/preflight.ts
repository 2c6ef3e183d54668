// Decides from facts whether an agent can run on a machine. Each finding names the obstacle and the
// next step.
import { KubetunError } from '../../datapath/error.ts';
import { parseAddress, parseRange } from '../../datapath/wire/address.ts';
import type { AgentOptions } from '../agent-options.ts';
import { SNAT_PORT_MAX, SNAT_PORT_MIN } from '../compile/node-entry.ts';
import type { Facts } from './facts.ts';
import { ipMissing } from './ip.ts';

/** The planned run of an agent, with the ranges of pods if they are known. */
export type Aim = Pick<AgentOptions, 'node' | 'tun' | 'hostNetwork' | 'narrow' | 'podRanges'>;

export interface Finding {
  check: string;
  verdict: 'ok' | 'refused' | 'unknown';
  code: string;
  /** The finding, one line. */
  message: string;
  /** The next step. Empty if the check passes. */
  next: string;
}

type Check = (facts: Facts, aim: Aim) => Omit<Finding, 'check'>;

const ok = (message: string): Omit<Finding, 'check'> => ({
  ...{ verdict: 'ok', code: '', message, next: '' },
});
const refused = (code: string, message: string, next: string): Omit<Finding, 'check'> => ({
  ...{ verdict: 'refused', code, message, next },
});

const when = (fits: boolean, found: string, ...refusal: Parameters<typeof refused>) =>
  fits ? ok(found) : refused(...refusal);

/** Devices that reveal other Service networks. */
const OTHER_PROXIES: Record<string, string> = {
  'kube-ipvs0': 'kube-proxy in IPVS mode',
  cilium_host: 'Cilium',
  cilium_net: 'Cilium',
  'bpfin.cali': 'Calico in eBPF mode',
  'ovn-k8s-mp0': 'OVN-Kubernetes',
  'antrea-gw0': 'Antrea',
};
const BRIDGES_OF_PODS = new Set(['cni0', 'cbr0', 'weave', 'kube-bridge']);
/** A range for the node's own sockets, outside of NodePorts and masquerade ports. */
export const EPHEMERAL_PORTS: [number, number] = [32_768, SNAT_PORT_MIN - 1];

/** Checks for every node. */
const CHECKS: Record<string, Check> = {
  root: ({ uid }, { node }) =>
    when(uid === 0, 'root', 'KT_NOT_ROOT', `the agent of ${node} is not root`, 'run it with sudo'),
  capability: ({ netAdmin }, { node }) => {
    const next =
      'add NET_ADMIN to securityContext.capabilities, as scripts/deploy/kubetun.yaml does';
    const message = `the agent of ${node} lacks CAP_NET_ADMIN`;
    return when(netAdmin, 'CAP_NET_ADMIN', 'KT_NO_NET_ADMIN', message, next);
  },
  tun: ({ tun }) => {
    const next = 'load the tun module: modprobe tun';
    return when(tun, '/dev/net/tun', 'KT_TUN_ABSENT', '/dev/net/tun cannot be opened', next);
  },
  ip: ({ ip }) => {
    const { code, message, next } = ipMissing();
    return when(ip, 'ip(8)', code, message, next);
  },
  namespace: ({ rootNamespace }, { node, hostNetwork }) =>
    !rootNamespace || hostNetwork
      ? ok(rootNamespace ? "the machine's own network, as asked for" : 'a network namespace')
      : refused(
          'KT_ROOT_NAMESPACE',
          `the agent of ${node} runs in the machine's own network namespace, which it would steer`,
          'run it inside the node (scripts/kubetun lab up does), or say --host-network if ' +
            'that is meant',
        ),
  'other agents': ({ links, agent, arenaHolder }, { node, tun }) => {
    const next = 'stop that process and the service that restarts it, then repeat the command';
    const active = (message: string) => refused('KT_AGENT_ACTIVE', message, next);
    if (agent !== null)
      return active(`an agent runs in the network namespace of ${node}: process ${agent}`);
    if (arenaHolder !== null)
      return active(`an agent holds the arena of ${node}: process ${arenaHolder}`);
    const held = links.some((link) => link.name === tun && link.carrier);
    return held ? active(`another process is attached to the device ${tun}`) : ok('none');
  },
};

/** Checks for nodes that do other work too. */
const CHECKS_NARROW: Record<string, Check> = {
  forwarding: ({ forward }) => {
    const message = 'the node does not forward: net.ipv4.ip_forward is 0';
    const next = 'sysctl -w net.ipv4.ip_forward=1, or --set-sysctls';
    return when(forward, 'net.ipv4.ip_forward is 1', 'KT_FORWARD_OFF', message, next);
  },
  'reverse path': ({ rpFilter }, { tun }) => {
    const strict = Object.keys(rpFilter).filter((name) => rpFilter[name] === 1 && name !== tun);
    const devices = strict.filter((name) => name !== 'lo' && name !== 'default');
    if (devices.length === 0) return ok('no device filters strictly');
    return refused(
      'KT_RP_FILTER',
      `strict rp_filter on ${some(devices)} drops what comes back from the datapath`,
      'sysctl -w net.ipv4.conf.all.rp_filter=2, which overrides each device, or --set-sysctls',
    );
  },
  ports: ({ ephemeralPorts }) => {
    if (ephemeralPorts === null) {
      const message = 'net.ipv4.ip_local_port_range cannot be read';
      return refused('KT_EPHEMERAL_PORTS', message, 'mount /proc/sys');
    }
    const [first, last] = ephemeralPorts;
    if (last < SNAT_PORT_MIN || first > SNAT_PORT_MAX)
      return ok(`own sockets use ${first}-${last}`);
    return refused(
      'KT_EPHEMERAL_PORTS',
      `the node's own sockets use ${first}-${last}, which overlaps the masquerade ports ` +
        `${SNAT_PORT_MIN}-${SNAT_PORT_MAX}`,
      `sysctl -w net.ipv4.ip_local_port_range="${EPHEMERAL_PORTS.join(' ')}", or --set-sysctls`,
    );
  },
  'other proxies': ({ links, filters }) => {
    const link = links.find(({ name }) => OTHER_PROXIES[name]);
    const stop = 'take it off this node first; docs/real-cluster.md says how';
    if (link)
      return refused(
        'KT_PROXY_ACTIVE',
        `${OTHER_PROXIES[link.name]} is active: device ${link.name}`,
        stop,
      );
    const chain = filters?.find((text) => /(^| )KUBE-SERVICES$|^kube-proxy /.test(text));
    if (chain)
      return refused(
        'KT_PROXY_ACTIVE',
        `kube-proxy is active, or has left its rules: chain ${chain}`,
        stop,
      );
    if (filters !== null) return ok('none');
    return {
      ...{ verdict: 'unknown', code: '', message: 'neither nft nor iptables can be asked' },
      next: 'install nftables, or see for yourself that kube-proxy has gone from this node',
    };
  },
  'pods behind a bridge': ({ links }, { podRanges }) => {
    const bridge = links.find(
      (link) =>
        link.kind === 'bridge' &&
        links.some((port) => port.master === link.name) &&
        (BRIDGES_OF_PODS.has(link.name) || link.addresses.some((a) => inRanges(a, podRanges))),
    );
    if (!bridge) return ok('none');
    return refused(
      'KT_BRIDGE_CNI',
      `the pods of this node share the bridge ${bridge.name}, where replies from pod to pod ` +
        'never reach the datapath',
      'use a CNI that routes to each pod, such as kindnet or the ptp plugin',
    );
  },
  'routing tables': ({ routes }, { tun }) => {
    const other = routes.find((route) => route.dev !== tun);
    if (!other) return ok('free');
    return refused(
      'KT_TABLE_TAKEN',
      `routing table ${other.table} is in use: ${other.dst} dev ${other.dev}`,
      'move those routes to another table',
    );
  },
};

/** Runs every check that applies to the run, in a fixed order. */
export function runChecks(facts: Facts, aim: Aim): Finding[] {
  const checks = aim.narrow ? { ...CHECKS, ...CHECKS_NARROW } : CHECKS;
  return Object.entries(checks).map(([check, of]) => ({ check, ...of(facts, aim) }));
}

/** Throws the first refusal as a KubetunError, before the agent changes anything. */
export function preflight(facts: Facts, aim: Aim): void {
  const found = runChecks(facts, aim).find(({ verdict }) => verdict === 'refused');
  if (found) throw new KubetunError(found.code, found.message, found.next);
}

/** Sysctls that would fix the refusals, value by path below /proc/sys/net/ipv4. */
export function mendingSysctls(facts: Facts, aim: Aim): [string, string][] {
  const refusals = new Set(
    runChecks(facts, aim)
      .filter(({ verdict }) => verdict === 'refused')
      .map(({ code }) => code),
  );
  const mends: [string, string, string][] = [
    ['KT_FORWARD_OFF', 'ip_forward', '1'],
    ['KT_RP_FILTER', 'conf/all/rp_filter', '2'],
    ['KT_EPHEMERAL_PORTS', 'ip_local_port_range', EPHEMERAL_PORTS.join(' ')],
  ];
  return mends.filter(([code]) => refusals.has(code)).map(([, path, value]) => [path, value]);
}

function some(names: string[]): string {
  return names.length <= 3 ? names.join(', ') : `${names.slice(0, 3).join(', ')} and others`;
}

function inRanges(address: string, ranges: string[]): boolean {
  const value = parseAddress(address);
  return ranges.some((text) => {
    const range = parseRange(text);
    return value !== null && range !== null && (value & range.mask) === range.address;
  });
}
