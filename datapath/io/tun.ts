import { KubetunError } from '../error.ts';
import { IP4_TOTAL_BYTES_MAX } from '../wire/ipv4.ts';
import { VNET_HEADER_BYTES } from '../wire/vnet.ts';
import { DEVICE_EMPTY, DEVICE_LOST, type Device } from './device.ts';
import {
  closeFile,
  EAGAIN,
  EBUSY,
  EINVAL,
  ENOBUFS,
  errno,
  ioctl,
  ioctlNumber,
  openFile,
  openNetlink,
  openTcp,
  read,
  replaceFile,
  SystemError,
  write,
} from './sys.ts';

// linux/if_tun.h
const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const TUNSETOFFLOAD = 0x400454d0;
const TUNGETIFF = 0x800454d2;
const TUNSETVNETHDRSZ = 0x400454d8;
const IFF_TUN = 0x0001;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const TUN_F_ALL = 0x01 | 0x02 | 0x04 | 0x20 | 0x40; // CSUM, TSO4, TSO6, USO4, USO6.
const TUN_F_NO_USO = 0x01 | 0x02 | 0x04; // Kernels before 6.2.
const IFNAMSIZ = 16;
const IFREQ_BYTES = 40;
const ATTACH_TRIES_MAX = 50;
const ATTACH_PAUSE_MS = 20;

const SIOCGIFMTU = 0x8921;
// linux/rtnetlink.h
const NETLINK_ROUTE = 0;
const GROUP_LINK = 1;
/** A longer message is truncated. Its content is not read. */
const MESSAGE_BYTES = 256;
/** Messages read at once. Others wake the reader again. */
const MESSAGES_MAX = 64;

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

function attach(fd: number, request: Uint8Array, name: string): void {
  for (let tries = 1; ; tries++) {
    try {
      ioctl(fd, TUNSETIFF, request);
      return;
    } catch (error) {
      const number = error instanceof SystemError ? error.errno : 0;
      if (number === EBUSY && tries < ATTACH_TRIES_MAX) pause(ATTACH_PAUSE_MS);
      else {
        const [code, what, next] =
          number === EBUSY
            ? [
                'KT_TUN_BUSY',
                'is held by another process',
                'stop the other agent of this node first',
              ]
            : ['KT_TUN_ATTACH', 'cannot be attached', 'is it a TUN device without multi_queue?'];
        throw new KubetunError(code!, `${name} ${what}`, next!, { cause: error });
      }
    }
  }
}

/** Sets all offloads. False if the kernel has no USO. */
function setOffloads(fd: number): boolean {
  try {
    ioctlNumber(fd, TUNSETOFFLOAD, TUN_F_ALL);
    return true;
  } catch (error) {
    if (!(error instanceof SystemError) || error.errno !== EINVAL) throw error;
    ioctlNumber(fd, TUNSETOFFLOAD, TUN_F_NO_USO);
    return false;
  }
}

/** struct ifreq of a device. */
function requestFor(name: string): Uint8Array {
  const request = new Uint8Array(IFREQ_BYTES);
  new TextEncoder().encodeInto(name, request.subarray(0, IFNAMSIZ - 1));
  return request;
}

/**
 * A TUN device of this process: packets with a virtio header, all offloads on. Every thread may
 * have one for the same descriptor. Its buffer is the memory of the process.
 */
export class Tun implements Device {
  readonly name: string;
  readonly fd: number;
  /** True if `openTun` found that the kernel takes trains of UDP datagrams. */
  readonly hasUso: boolean;
  /** Readable after a change of a link in the device's network namespace; -1 if not followed. */
  readonly links: number;

  constructor(name: string, fd: number, hasUso = false, links = -1) {
    this.name = name;
    this.fd = fd;
    this.hasUso = hasUso;
    this.links = links;
  }

  read(at: number, bytes: number): number {
    const length = read(this.fd, at, bytes);
    if (length >= 0) return length;
    return errno() === EAGAIN ? DEVICE_EMPTY : DEVICE_LOST;
  }

  write(at: number, bytes: number): boolean {
    return write(this.fd, at, bytes) === bytes;
  }

  /** No limit if links are not followed, or the device is gone. */
  mtu(): number {
    if (this.links < 0) return IP4_TOTAL_BYTES_MAX;
    const request = new Uint8Array(IFREQ_BYTES);
    try {
      // Its present name.
      ioctl(this.fd, TUNGETIFF, request);
      ioctl(this.links, SIOCGIFMTU, request);
    } catch {
      return IP4_TOTAL_BYTES_MAX;
    }
    return new DataView(request.buffer).getInt32(IFNAMSIZ, true);
  }

  /** Reads what made `links` readable, into a buffer at `at`. */
  clearLinks(at: number): void {
    for (let reads = 0; reads < MESSAGES_MAX; reads++) {
      // After an overflow there may be more.
      if (read(this.links, at, MESSAGE_BYTES) < 0 && errno() !== ENOBUFS) return;
    }
  }

  /** False once the device is deleted, even if another one has its name. */
  isAttached(): boolean {
    try {
      ioctl(this.fd, TUNGETIFF, new Uint8Array(IFREQ_BYTES));
      return true;
    } catch {
      return false;
    }
  }

  /** Recreates the device at the same `fd`, for every thread. Throws as `openTun` does. */
  renew(): void {
    const fresh = openTun(this.name);
    replaceFile(fresh.fd, this.fd);
    fresh.close();
  }

  close(): void {
    closeFile(this.fd);
    if (this.links >= 0) closeFile(this.links);
  }
}

/** True if the calling thread's network namespace has a device of this name. */
export function hasDevice(name: string): boolean {
  const socket = openTcp(name);
  try {
    ioctl(socket, SIOCGIFMTU, requestFor(name));
    return true;
  } catch {
    return false;
  } finally {
    closeFile(socket);
  }
}

/**
 * Makes or attaches a persistent TUN device in the calling thread's network namespace. Waits one
 * second for a device that another process still holds. Throws KubetunError (KT_TUN_BUSY,
 * KT_TUN_ATTACH, KT_TUN_OPEN).
 */
export function openTun(name: string): Tun {
  let fd: number;
  try {
    fd = openFile('/dev/net/tun', { nonblock: true });
  } catch (error) {
    throw new KubetunError(
      'KT_TUN_OPEN',
      '/dev/net/tun cannot be opened',
      'run as root, and load the tun module (modprobe tun)',
      { cause: error },
    );
  }
  const request = requestFor(name);
  const view = new DataView(request.buffer);
  view.setUint16(IFNAMSIZ, IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, true);
  try {
    attach(fd, request, name);
    // Attaching to an existing device can switch the header off without an error.
    ioctl(fd, TUNGETIFF, request);
    if ((view.getUint16(IFNAMSIZ, true) & IFF_VNET_HDR) === 0) {
      const message = `device ${name} has no vnet_hdr, which the datapath needs`;
      throw new KubetunError('KT_TUN_ATTACH', message, `remove it with ip link del ${name}`);
    }
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setInt32(0, VNET_HEADER_BYTES, true);
    ioctl(fd, TUNSETVNETHDRSZ, bytes);
    const hasUso = setOffloads(fd);
    ioctlNumber(fd, TUNSETPERSIST, 1);
    return new Tun(name, fd, hasUso);
  } catch (error) {
    closeFile(fd);
    throw error;
  }
}

/** The same for the device of a pod, whose MTU is followed. Throws SystemError too. */
export function openPodTun(name: string): Tun {
  const { fd, hasUso } = openTun(name);
  try {
    return new Tun(name, fd, hasUso, openNetlink(NETLINK_ROUTE, GROUP_LINK));
  } catch (error) {
    closeFile(fd);
    throw error;
  }
}
