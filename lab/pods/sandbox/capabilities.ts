// Capabilities of a container: its bounding set.
import { readFileSync } from 'node:fs';
import type { Container } from '../../../control/kube/kinds.ts';
import { WaitReason } from '../given/env.ts';
import { type Identity, identityIn, identityOptions, isPlainRoot, ROOT } from './identity.ts';

/** Names by number (include/uapi/linux/capability.h). */
const NAMES = [
  ...['CHOWN', 'DAC_OVERRIDE', 'DAC_READ_SEARCH', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID'],
  ...['SETPCAP', 'LINUX_IMMUTABLE', 'NET_BIND_SERVICE', 'NET_BROADCAST', 'NET_ADMIN', 'NET_RAW'],
  ...['IPC_LOCK', 'IPC_OWNER', 'SYS_MODULE', 'SYS_RAWIO', 'SYS_CHROOT', 'SYS_PTRACE', 'SYS_PACCT'],
  ...['SYS_ADMIN', 'SYS_BOOT', 'SYS_NICE', 'SYS_RESOURCE', 'SYS_TIME', 'SYS_TTY_CONFIG', 'MKNOD'],
  ...['LEASE', 'AUDIT_WRITE', 'AUDIT_CONTROL', 'SETFCAP', 'MAC_OVERRIDE', 'MAC_ADMIN', 'SYSLOG'],
  ...['WAKE_ALARM', 'BLOCK_SUSPEND', 'AUDIT_READ', 'PERFMON', 'BPF', 'CHECKPOINT_RESTORE'],
];

/** containerd's default set (oci/spec.go, defaultUnixCaps). */
const DEFAULT = [
  ...['CHOWN', 'DAC_OVERRIDE', 'FSETID', 'FOWNER', 'MKNOD', 'NET_RAW', 'SETGID', 'SETUID'],
  ...['SETFCAP', 'SETPCAP', 'NET_BIND_SERVICE', 'SYS_CHROOT', 'KILL', 'AUDIT_WRITE'],
];

/** The command line that runs `command` with the capabilities of a pod's PID 1. */
export function withDefaults(command: string[]): string[] {
  return bounded(new Set(DEFAULT), command);
}

/**
 * The command line that runs `command` with a container's capabilities: the default set without
 * those it drops and with those it adds, or all if it is privileged. Throws WaitReason for an
 * unknown name.
 */
export function withCapabilities(
  { securityContext }: Container,
  command: string[],
  identity: Identity = ROOT,
): string[] {
  if (securityContext?.privileged) {
    return isPlainRoot(identity) ? command : bounded(new Set(NAMES), command, identity);
  }
  const { add = [], drop = [] } = securityContext?.capabilities ?? {};
  const dropped = drop.flatMap(namesOf);
  const kept = DEFAULT.filter((name) => !dropped.includes(name));
  return bounded(new Set([...kept, ...add.flatMap(namesOf)]), command, identity);
}

/** The command line that runs `command` with the capabilities and as the user of a process. */
export function withCapabilitiesOf(pid: number, command: string[]): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'utf8');
    const mask = BigInt(`0x${/^CapBnd:\s*(\w+)$/m.exec(text)?.[1]}`);
    const has = NAMES.filter((_, number) => (mask >> BigInt(number)) & 1n);
    const own = identityIn(text);
    return has.length === NAMES.length && isPlainRoot(own)
      ? command
      : bounded(new Set(has), command, own);
  } catch {
    // The process has ended, so there is nothing to enter.
    return command;
  }
}

function namesOf(text: string): string[] {
  const name = text.toUpperCase().replace(/^CAP_/, '');
  if (name === 'ALL') return NAMES;
  if (NAMES.includes(name)) return [name];
  const known = 'ALL or a name of capabilities(7) such as NET_ADMIN';
  throw new WaitReason(
    'CreateContainerError',
    `securityContext.capabilities: ${JSON.stringify(text)} is unknown, expected ${known}`,
  );
}

function bounded(names: Set<string>, command: string[], identity: Identity = ROOT): string[] {
  const added = NAMES.filter((name) => names.has(name)).map((name) => `,+${name.toLowerCase()}`);
  return [
    ...['/usr/bin/setpriv', ...identityOptions(identity)],
    ...[`--bounding-set=-all${added.join('')}`, '--', ...command],
  ];
}
