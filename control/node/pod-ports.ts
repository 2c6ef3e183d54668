// Pods' TUN devices as ports of a node's datapath. They come and go by the admin socket. A file
// remembers them for the next agent, which serves them before it forwards.
import { statSync } from 'node:fs';
import { KubetunError } from '../../datapath/error.ts';
import { inNamespace } from '../../datapath/io/netns.ts';
import { hasDevice, openPodTun, type Tun } from '../../datapath/io/tun.ts';
import { formatAddress, parseAddress } from '../../datapath/wire/address.ts';
import type { Engine, PodPort } from '../../datapath/worker/engine.ts';
import type { MonotonicClock } from '../clock.ts';
import type { Log } from '../log.ts';
import { recall, remember } from './memory.ts';

/** Interval of checks for pods whose namespaces are gone. */
const LOOK_MS = 4000;

/** A pod's TUN device: where it is, and the one address that the pod has. */
export interface PodDevice {
  /** Path of the pod's network namespace. */
  netns: string;
  device: string;
  address: string;
}

export interface PortDescription extends PodDevice {
  /** False if the device was deleted. */
  attached: boolean;
}

interface Attached {
  pod: PodDevice;
  port: PodPort;
  /** Inode of the namespace: a new one may have the same path. */
  inode: number;
}

/** File that remembers the ports. */
export function portMemory({ arena }: { arena: string }): string {
  return `${arena}.ports`;
}

/** Opens the devices that the last agent served. Skips those that are gone. */
export function recallPorts(memory: string, log: Log): Attached[] {
  const found: Attached[] = [];
  for (const pod of recall<PodDevice[]>(memory) ?? []) {
    try {
      found.push(attach(pod));
    } catch (error) {
      log.warn({ ...pod, why: String(error) }, "a pod's device is served no longer");
    }
  }
  return found;
}

export interface PodPortsOptions {
  engine: Pick<Engine, 'addPort' | 'removePort'>;
  memory: string;
  /** Ports that the engine serves already. */
  attached: Attached[];
  clock: MonotonicClock;
  log: Log;
}

export class PodPorts {
  readonly #options: PodPortsOptions;
  #ports: Attached[];
  #cancel: () => void;

  constructor(options: PodPortsOptions) {
    this.#options = options;
    this.#ports = [...options.attached];
    this.#cancel = options.clock.after(LOOK_MS, () => this.#turn());
  }

  stop(): void {
    this.#cancel();
  }

  list(): PortDescription[] {
    return this.#ports.map(({ pod, port }) => ({ ...pod, attached: port.tun.isAttached() }));
  }

  /**
   * Serves a device. It takes the place of an earlier one in the same namespace or with the same
   * address. Throws KubetunError KT_PORT_BODY, KT_PORT_DEVICE, KT_PORTS_FULL, KT_TUN_*.
   */
  async add(body: unknown): Promise<PortDescription[]> {
    const pod = readDevice(body);
    const isSame = (p: Attached) =>
      JSON.stringify(p.pod) === JSON.stringify(pod) && isAlive(p) && p.port.tun.isAttached();
    if (this.#ports.some(isSame)) return this.list();
    const { netns, device, address } = pod;
    await this.#drop(
      ({ pod: p }) => p.address === address || (p.netns === netns && p.device === device),
    );
    const attached = attach(pod);
    try {
      this.#options.engine.addPort(attached.port);
    } catch (error) {
      attached.port.tun.close();
      throw error;
    }
    this.#ports.push(attached);
    this.#remember();
    return this.list();
  }

  /** Stops serving the devices of a namespace. Throws KubetunError KT_PORT_BODY. */
  async remove(body: unknown): Promise<PortDescription[]> {
    const { netns } = (body ?? {}) as Partial<PodDevice>;
    if (typeof netns !== 'string') throw badBody('netns', netns, 'the path of a network namespace');
    await this.#drop(({ pod }) => pod.netns === netns);
    return this.list();
  }

  async #drop(leaves: (port: Attached) => boolean): Promise<void> {
    const gone = this.#ports.filter(leaves);
    if (gone.length === 0) return;
    this.#ports = this.#ports.filter((port) => !gone.includes(port));
    this.#remember();
    await Promise.all(gone.map(({ port }) => this.#options.engine.removePort(port.tun)));
  }

  /** An open device holds its namespace, which would stay for ever after its path is gone. */
  #turn(): void {
    const { log } = this.#options;
    this.#drop((port) => !isAlive(port)).catch((error) =>
      log.error({ why: String(error) }, 'cannot leave the device of a pod'),
    );
    this.#cancel = this.#options.clock.after(LOOK_MS, () => this.#turn());
  }

  #remember(): void {
    const { memory, log } = this.#options;
    try {
      remember(
        memory,
        this.#ports.map(({ pod }) => pod),
      );
    } catch (error) {
      log.error({ why: String(error) }, 'the next agent will not know the ports of pods');
    }
  }
}

/** Throws KubetunError KT_PORT_DEVICE, KT_TUN_*. */
function attach(pod: PodDevice): Attached {
  const { netns, device, address } = pod;
  const missing = (what: string, cause?: unknown) =>
    new KubetunError(
      'KT_PORT_DEVICE',
      `${what}, which the pod ${address} needs`,
      'create it first: ip tuntap add mode tun vnet_hdr',
      { cause },
    );
  let inode: number;
  let tun: Tun | null;
  try {
    inode = statSync(netns).ino;
    tun = inNamespace(netns, () => (hasDevice(device) ? openPodTun(device) : null));
  } catch (error) {
    if (error instanceof KubetunError && error.code.startsWith('KT_TUN')) throw error;
    throw missing(`${netns} is no network namespace`, error);
  }
  if (tun === null) throw missing(`${netns} has no device ${device}`);
  return { pod, port: { tun, address: parseAddress(address)! }, inode };
}

function isAlive({ pod, inode }: Attached): boolean {
  return statSync(pod.netns, { throwIfNoEntry: false })?.ino === inode;
}

function readDevice(body: unknown): PodDevice {
  const { netns, device, address } = (body ?? {}) as Partial<PodDevice>;
  if (typeof netns !== 'string' || !netns.startsWith('/')) {
    throw badBody('netns', netns, 'the absolute path of a network namespace');
  }
  if (typeof device !== 'string' || !/^[^/\s]{1,15}$/.test(device)) {
    throw badBody('device', device, 'the name of a TUN device, at most 15 characters');
  }
  const number = typeof address === 'string' ? parseAddress(address) : null;
  if (!number) throw badBody('address', address, 'the IPv4 address of the pod');
  return { netns, device, address: formatAddress(number) };
}

function badBody(field: string, value: unknown, expected: string): KubetunError {
  return new KubetunError(
    'KT_PORT_BODY',
    `port: ${field} is ${JSON.stringify(value) ?? 'absent'}, expected ${expected}`,
    'send {"netns": "/run/netns/NAME", "device": "eth0", "address": "10.244.1.2"}',
  );
}
