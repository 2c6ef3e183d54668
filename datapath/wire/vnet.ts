// virtio_net_hdr, linux/virtio_net.h: little endian on every machine that kubetun runs on.
// Offsets in bytes from the start of the header.

export const VNET_HEADER_BYTES = 10;
export const VNET_OFF_FLAGS = 0;
export const VNET_OFF_CSUM_START = 6;
export const VNET_OFF_CSUM_OFFSET = 8;
export const VNET_FLAG_NEEDS_CSUM = 1;
