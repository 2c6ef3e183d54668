import { KubetunError } from '../error.ts';
import {
  closeFile,
  EBUSY,
  EINVAL,
  ioctl,
  ioctlNumber,
  openFile,
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

/** struct virtio_net_hdr in front of every packet, linux/virtio_net.h. */
export const VNET_HEADER_BYTES = 10;

/** A TUN device of this process: packets with a virtio header in front, all offloads on. */
export interface Tun {
  name: string;
  fd: number;
  /** False where the kernel has no UDP segmentation offload. */
  uso: boolean;
  read(address: number, bytes: number): number;
  write(address: number, bytes: number): number;
  /** False once the device has been deleted, even if another one has its name. */
  isAttached(): boolean;
  /**
   * Makes the device again; `fd` stays the same number, for every thread. Throws as `openTun` does.
   */
  renew(): void;
  close(): void;
}

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
        const held = number === EBUSY;
        throw new KubetunError(
          held ? 'KT_TUN_BUSY' : 'KT_TUN_ATTACH',
          held ? `${name} is held by another process` : `${name} cannot be attached`,
          held
            ? 'stop the other agent of this node first'
            : 'is it a TUN device without multi_queue?',
          { cause: error },
        );
      }
    }
  }
}

function isAttached(fd: number): boolean {
  try {
    ioctl(fd, TUNGETIFF, new Uint8Array(IFREQ_BYTES));
    return true;
  } catch {
    return false;
  }
}

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

/**
 * Makes or attaches a persistent TUN device in the calling thread's network namespace. A device
 * that another process is about to leave is waited for, one second. Throws KubetunError
 * (KT_TUN_BUSY, KT_TUN_ATTACH, KT_TUN_OPEN).
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
  const request = new Uint8Array(IFREQ_BYTES);
  new TextEncoder().encodeInto(name, request.subarray(0, IFNAMSIZ - 1));
  const view = new DataView(request.buffer);
  view.setUint16(IFNAMSIZ, IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, true);
  try {
    attach(fd, request, name);
    // Attaching to an existing device can switch the header off without an error.
    ioctl(fd, TUNGETIFF, request);
    if ((view.getUint16(IFNAMSIZ, true) & IFF_VNET_HDR) === 0) {
      throw new KubetunError('KT_TUN_ATTACH', `${name} has no vnet_hdr`, `ip link del ${name}`);
    }
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setInt32(0, VNET_HEADER_BYTES, true);
    ioctl(fd, TUNSETVNETHDRSZ, bytes);
    const uso = setOffloads(fd);
    ioctlNumber(fd, TUNSETPERSIST, 1);
    return {
      name,
      fd,
      uso,
      read: (address, n) => read(fd, address, n),
      write: (address, n) => write(fd, address, n),
      isAttached: () => isAttached(fd),
      renew: () => {
        const fresh = openTun(name);
        replaceFile(fresh.fd, fd);
        fresh.close();
      },
      close: () => closeFile(fd),
    };
  } catch (error) {
    closeFile(fd);
    throw error;
  }
}
