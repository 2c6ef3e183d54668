// What a node of a lab says of its machine. All nodes share it, as those of kind do.
import { createHash } from 'node:crypto';
import { readFileSync, statfsSync } from 'node:fs';
import { arch, availableParallelism, hostname, release, totalmem } from 'node:os';

const VERSION = 'v0.1.0-kubetun';
const ARCHITECTURE = arch() === 'x64' ? 'amd64' : arch();
const OS = 'linux';

/** Labels by which pods choose nodes; the old names are in manifests to this day. */
export function labelsOf(name: string): Record<string, string> {
  return {
    'kubernetes.io/hostname': name,
    'kubernetes.io/os': OS,
    'kubernetes.io/arch': ARCHITECTURE,
    'beta.kubernetes.io/os': OS,
    'beta.kubernetes.io/arch': ARCHITECTURE,
  };
}

/** What pods may ask for. Nothing is kept back: a lab has no other programs on its nodes. */
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

/**
 * 32 hexadecimal digits: the same for a node of this machine each time, and different for each
 * node.
 */
function identityOf(name: string): string {
  const machine = read('/etc/machine-id') || hostname();
  return createHash('sha256').update(`${machine} ${name}`).digest('hex').slice(0, 32);
}

function uuidOf(digits: string): string {
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Empty where there is no such file, as on an image without systemd. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}
