// /etc/resolv.conf of a pod, and the names that its resolver asks for one name.
// Source: pkg/kubelet/network/dns; glibc resolv/res_query.c.
import type { Pod } from '../kube/kinds.ts';

export interface Resolver {
  nameservers: string[];
  searches: string[];
  /** `name` or `name:value`. */
  options: string[];
}

/** Limits of resolv.conf(5) and upstream. */
const NAMESERVERS_MAX = 3;
const SEARCHES_MAX = 32;
const NDOTS_DEFAULT = 1;
const NDOTS_MAX = 15;

/** @param machine resolv.conf of the machine that its node runs on. */
export function resolverOf({ metadata, spec }: Pod, dnsAddress: string, machine: string): Resolver {
  const { dnsConfig = {} } = spec ?? {};
  const base = usesNodeResolver(spec)
    ? parse(machine)
    : baseOf(spec?.dnsPolicy, metadata?.namespace ?? 'default', dnsAddress);
  const options = new Map(base.options.map((option) => [option.split(':')[0]!, option]));
  for (const { name = '', value } of dnsConfig.options ?? []) {
    options.set(name, value ? `${name}:${value}` : name);
  }
  return {
    nameservers: merge(base.nameservers, dnsConfig.nameservers).slice(0, NAMESERVERS_MAX),
    searches: merge(base.searches, dnsConfig.searches).slice(0, SEARCHES_MAX),
    options: [...options.values()],
  };
}

/** A pod in its node's network uses the node's resolver unless its dnsPolicy says otherwise. */
export function usesNodeResolver(spec: Pod['spec']): boolean {
  const { dnsPolicy = 'ClusterFirst', hostNetwork } = spec ?? {};
  return dnsPolicy === 'Default' || (dnsPolicy === 'ClusterFirst' && hostNetwork === true);
}

function baseOf(policy: string | undefined, namespace: string, dnsAddress: string): Resolver {
  if (policy === 'None') return { nameservers: [], searches: [], options: [] };
  const cluster = 'svc.cluster.local';
  return {
    nameservers: [dnsAddress],
    searches: [`${namespace}.${cluster}`, cluster, 'cluster.local'],
    options: ['ndots:5'],
  };
}

/** The text of resolv.conf. */
export function resolverText({ nameservers, searches, options }: Resolver): string {
  const lines = nameservers.map((address) => `nameserver ${address}`);
  if (searches.length > 0) lines.push(`search ${searches.join(' ')}`);
  if (options.length > 0) lines.push(`options ${options.join(' ')}`);
  return lines.map((line) => `${line}\n`).join('');
}

/**
 * The names that glibc asks for one name, in order, each with a dot at the end. The first one with
 * data ends the search.
 */
export function candidatesOf(resolver: Resolver, name: string): string[] {
  if (name.endsWith('.')) return [name];
  const dots = name.split('.').length - 1;
  const found = resolver.searches.map((search) => `${name}.${search.replace(/\.$/, '')}.`);
  return dots >= ndotsOf(resolver) ? [`${name}.`, ...found] : [...found, `${name}.`];
}

export function ndotsOf({ options }: Resolver): number {
  const value = options.findLast((option) => /^ndots:\d+$/.test(option))?.slice('ndots:'.length);
  return value === undefined ? NDOTS_DEFAULT : Math.min(Number(value), NDOTS_MAX);
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
