// What the command modules share: common options, and where a lab's things are.
import { existsSync, readdirSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { KubetunError } from '../../datapath/error.ts';
import { formatAddress, parseRange } from '../../datapath/wire/address.ts';
import { PROXIES, type ProxyKind } from '../agent/proxy.ts';

/**
 * The gateway between a lab's nodes and its internet: no Node, but its datapath is looked at like
 * one's.
 */
export const CLOUD = 'cloud';

const LAB_NAME = /^[a-z0-9][a-z0-9-]{0,11}$/;

export type OutputFormat = 'table' | 'json';

/** `-o, --output`: for people or for scripts. */
export function outputOption(): Option {
  return new Option('-o, --output <format>', 'how to print it')
    .choices(['table', 'json'])
    .default('table');
}

/** `--node`, of which there must be one. */
export function nodeOption(): Option {
  return new Option('--node <name>', 'a node of the lab, or cloud').makeOptionMandatory();
}

/** `--lab` behind the command's name; before it the program takes the same. */
export function labOption(): Option {
  return new Option('--lab <name>', 'the lab to work on');
}

/** `--proxy`, with what it is where nobody says it. */
export function proxyOption(standard?: ProxyKind): Option {
  const option = new Option(
    '--proxy <what>',
    'what translates: the datapath, or the kernel by nftables rules',
  );
  return option.choices(PROXIES).default(standard);
}

/** The lab that a command was called for. Throws KubetunError KT_LAB_NAME. */
export function labOf(command: Command): string {
  for (let at: Command | null = command; at; at = at.parent) {
    const { lab } = at.opts<{ lab?: string }>();
    if (lab !== undefined) return requireLabName(lab);
  }
  return 'lab';
}

/** What names a lab in a command that a message gives; empty for the lab that needs no name. */
export function labFlag(lab: string): string {
  return lab === 'lab' ? '' : ` --lab ${lab}`;
}

/**
 * The name, if a lab may be called so: it begins the names of namespaces and files. Throws
 * KubetunError KT_LAB_NAME.
 */
export function requireLabName(lab: string): string {
  if (LAB_NAME.test(lab)) return lab;
  throw new KubetunError(
    'KT_LAB_NAME',
    `${JSON.stringify(lab)} cannot be the name of a lab`,
    'use 1 to 12 of a-z, 0-9 and -, beginning with a letter or digit',
    { usage: true },
  );
}

/** An argument parser for IPv4 ranges such as 10.96.0.0/16; host bits are cleared. */
export function parseRangeOption(text: string): string {
  const range = parseRange(text);
  if (!range) throw new InvalidArgumentError('It must be a range such as 10.96.0.0/16.');
  return `${formatAddress(range.address)}/${text.split('/')[1]}`;
}

/** The same for an option that may be given several times. */
export function collectRanges(text: string, before: string[] | undefined): string[] {
  return [...(before ?? []), parseRangeOption(text)];
}

/**
 * Where a lab keeps its state. Throws KubetunError KT_RUN_DIR: what lies there is removed with the
 * lab.
 */
export function stateDir(lab: string): string {
  const folder = process.env.KUBETUN_RUN_DIR ?? '/run/kubetun';
  if (isAbsolute(folder)) return join(folder, lab);
  throw new KubetunError(
    'KT_RUN_DIR',
    `KUBETUN_RUN_DIR is ${JSON.stringify(folder)}, which depends on where one stands`,
    'unset it, or give a path that begins with /',
    { usage: true },
  );
}

export function socketOf(lab: string, node: string): string {
  return join(stateDir(lab), `${node}.sock`);
}

/** Where the kubeconfig for clients in the root namespace is. */
export function kubeconfigOf(lab: string): string {
  return join(stateDir(lab), 'kubeconfig');
}

/** A folder of mode 0700: no other user can prepare what lies in it. */
export const ARENA_DIR = '/dev/shm/kubetun';

export function arenaOf(lab: string, node: string): string {
  return join(ARENA_DIR, `${lab}-${node}`);
}

/** Nodes of a lab whose agent has run, in the order of names, and the cloud. */
export function nodesOf(lab: string): string[] {
  const folder = stateDir(lab);
  if (!existsSync(folder)) return [];
  const sockets = readdirSync(folder).filter((name) => name.endsWith('.sock'));
  const names = sockets.map((name) => name.slice(0, -'.sock'.length)).sort();
  return [...names.filter((name) => name !== CLOUD), ...names.filter((name) => name === CLOUD)];
}

/**
 * Makes sure that a lab has this node, or any at all. Throws KubetunError KT_LAB_DOWN,
 * KT_NODE_UNKNOWN.
 */
export function requireNode(lab: string, node: string | null): void {
  const nodes = nodesOf(lab);
  if (nodes.length === 0) {
    throw new KubetunError(
      'KT_LAB_DOWN',
      `lab ${lab} is not up`,
      'start it with scripts/kubetun lab up, or name another one with --lab',
    );
  }
  if (node !== null && !nodes.includes(node)) {
    throw new KubetunError(
      'KT_NODE_UNKNOWN',
      `lab ${lab} has no node ${node}`,
      `its nodes are ${nodes.join(', ')}`,
    );
  }
}
