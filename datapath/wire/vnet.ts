// virtio_net_hdr, linux/virtio_net.h: little endian on every machine that kubetun runs on.
// Offsets in bytes from the start of the header.

export const VNET_HEADER_BYTES = 10;
export const VNET_OFF_FLAGS = 0;
export const VNET_OFF_GSO_TYPE = 1;
/** Bytes before the first payload. */
export const VNET_OFF_HEADERS = 2;
/** Payload bytes of each segment but the last. */
export const VNET_OFF_GSO_SIZE = 4;
export const VNET_OFF_CSUM_START = 6;
export const VNET_OFF_CSUM_OFFSET = 8;
export const VNET_FLAG_NEEDS_CSUM = 1;
/** The kernel has verified the full checksum. */
export const VNET_FLAG_DATA_VALID = 2;
export const VNET_GSO_TCP4 = 1;
/** A train of UDP datagrams, Linux 6.2 and later. */
export const VNET_GSO_UDP_L4 = 5;
