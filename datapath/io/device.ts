/** There is no packet now. */
export const DEVICE_EMPTY = 0;
/** The device cannot be read: it has been deleted, or is down for good. */
export const DEVICE_LOST = -1;

/**
 * Source and sink of packets, each with a virtio header (linux/virtio_net.h). The loop and the
 * device share one buffer; `at` is an address in it.
 */
export interface Device {
  readonly name: string;
  /** Reads one packet of at most `bytes` bytes: its length, DEVICE_EMPTY or DEVICE_LOST. */
  read(at: number, bytes: number): number;
  /** Writes one packet. False if the device did not take it. */
  write(at: number, bytes: number): boolean;
  /** The largest IPv4 packet, in bytes, that the other end takes unfragmented. */
  mtu(): number;
  close(): void;
}
