// What a Node object says about its machine. All nodes share the machine, as nodes of kind do.
import { createHash } from 'node:crypto';
import { readFileSync, statfsSync } from 'node:fs';
import { arch, availableParallelism, hostname, release, totalmem } from 'node:os';

const VERSION = 'v0.1.0-kubetun';
const ARCHITECTURE = arch() === 'x64' ? 'amd64' : arch();
const OS = 'linux';

/** Labels for node selectors. Manifests still use the old names. */
export function labelsOf(name: string): Record<string, string> {
  return {
    'kubernetes.io/hostname': name,
    'kubernetes.io/os': OS,
    'kubernetes.io/arch': ARCHITECTURE,
    'beta.kubernetes.io/os': OS,
    'beta.kubernetes.io/arch': ARCHITECTURE,
  };
}

/** Capacity for pods. Nothing is reserved, because the nodes of a lab run nothing else. */
export function capacityOf(pods: number): Record<string, string> {
  const { bsize, blocks } = statfsSync('/');
  const kibibytes = (bytes: number) => `${Math.floor(bytes / 1024)}Ki`;
  return {
    cpu: String(availableParallelism()),
    'ephemeral-storage': kibibytes(bsize * blocks),
    memory: kibibytes(totalmem()),
    pods: String(pods),
  };
}

export function nodeInfoOf(name: string) {
  const machineID = identityOf(name);
  return {
    architecture: ARCHITECTURE,
    bootID: read('/proc/sys/kernel/random/boot_id') || uuidOf(identityOf('boot')),
    containerRuntimeVersion: 'kubetun://0.1.0',
    kernelVersion: release(),
    kubeProxyVersion: '',
    kubeletVersion: VERSION,
    machineID,
    operatingSystem: OS,
    osImage: 'kubetun lab',
    systemUUID: uuidOf(machineID),
  };
}

/** 32 hexadecimal digits, stable for each node of this machine. */
function identityOf(name: string): string {
  const machine = read('/etc/machine-id') || hostname();
  return createHash('sha256').update(`${machine} ${name}`).digest('hex').slice(0, 32);
}

function uuidOf(digits: string): string {
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Empty if the file does not exist, as on an image without systemd. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}
