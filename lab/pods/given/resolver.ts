// /etc/resolv.conf of a pod. Source: pkg/kubelet/network/dns.
import type { Pod } from '../../../control/kube/kinds.ts';

interface Resolver {
  nameservers: string[];
  searches: string[];
  /** `name` or `name:value`. */
  options: string[];
}

/** Limits of resolv.conf(5) and upstream. */
const NAMESERVERS_MAX = 3;
const SEARCHES_MAX = 32;

/** @param machine resolv.conf of this machine, which its nodes use too. */
export function resolverText({ metadata, spec }: Pod, dnsAddress: string, machine: string): string {
  const { dnsPolicy = 'ClusterFirst', dnsConfig = {}, hostNetwork } = spec ?? {};
  const base = baseOf(
    dnsPolicy,
    hostNetwork === true,
    metadata?.namespace ?? '',
    dnsAddress,
    machine,
  );
  const options = new Map(base.options.map((option) => [option.split(':')[0]!, option]));
  for (const { name = '', value } of dnsConfig.options ?? []) {
    options.set(name, value ? `${name}:${value}` : name);
  }
  const nameservers = merge(base.nameservers, dnsConfig.nameservers).slice(0, NAMESERVERS_MAX);
  const searches = merge(base.searches, dnsConfig.searches).slice(0, SEARCHES_MAX);
  const lines = nameservers.map((address) => `nameserver ${address}`);
  if (searches.length > 0) lines.push(`search ${searches.join(' ')}`);
  if (options.size > 0) lines.push(`options ${[...options.values()].join(' ')}`);
  return lines.map((line) => `${line}\n`).join('');
}

function baseOf(
  policy: string,
  hostNetwork: boolean,
  namespace: string,
  dnsAddress: string,
  machine: string,
): Resolver {
  if (policy === 'None') return { nameservers: [], searches: [], options: [] };
  // A pod in its node's network uses the node's resolver unless its dnsPolicy says otherwise.
  if (policy === 'Default' || (policy === 'ClusterFirst' && hostNetwork)) return parse(machine);
  const cluster = 'svc.cluster.local';
  return {
    nameservers: [dnsAddress],
    searches: [`${namespace}.${cluster}`, cluster, 'cluster.local'],
    options: ['ndots:5'],
  };
}

function parse(text: string): Resolver {
  const resolver: Resolver = { nameservers: [], searches: [], options: [] };
  for (const line of text.split('\n')) {
    const [word, ...rest] = line.trim().split(/\s+/);
    if (word === 'nameserver') resolver.nameservers.push(...rest.slice(0, 1));
    if (word === 'search') resolver.searches = rest;
    if (word === 'options') resolver.options.push(...rest);
  }
  return resolver;
}

function merge(first: string[], second: string[] = []): string[] {
  return [...new Set([...first, ...second])];
}
