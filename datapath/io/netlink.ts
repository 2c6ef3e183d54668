// Detects changes of links, addresses, routes or rules. The content of a message is not read: the
// caller compares desired and observed state, so a lost message costs nothing.
import {
  closeFile,
  EAGAIN,
  ENOBUFS,
  errno,
  mapMemory,
  openNetlink,
  read,
  unmap,
  write,
} from './sys.ts';

const NETLINK_ROUTE = 0;
const NETLINK_NETFILTER = 12;
// linux/rtnetlink.h: link, tc, IPv4 address, route, rule and netconf.
const GROUPS = [1, 4, 5, 7, 8, 24];
const BUFFER_BYTES = 8192;
/** A burst of messages is read in several turns. */
const READS_MAX = 1000;

/** Changes of the network namespace of this process. */
export interface NetworkEvents {
  /** True if something changed since the last call. Never blocks. */
  heard(): boolean;
  close(): void;
}

/** Throws SystemError. */
export function openNetworkEvents(): NetworkEvents {
  const mask = GROUPS.reduce((bits, group) => bits | (1 << (group - 1)), 0);
  const fd = openNetlink(NETLINK_ROUTE, mask >>> 0);
  const memory = mapMemory(BUFFER_BYTES);
  return {
    heard() {
      let any = false;
      for (let reads = 0; reads < READS_MAX; reads++) {
        // Longer messages are truncated, and only their arrival counts.
        const bytes = read(fd, memory.address, BUFFER_BYTES);
        if (bytes > 0) any = true;
        else if (bytes < 0 && errno() === ENOBUFS) any = true;
        else if (bytes < 0 && errno() !== EAGAIN) return true;
        else break;
      }
      return any;
    },
    close() {
      closeFile(fd);
      unmap(memory);
    },
  };
}

// linux/netfilter/nf_tables.h
const NFT_MSG_GETGEN = (10 << 8) | 16;
const NLM_F_REQUEST = 1;
const HEADER_BYTES = 20; // nlmsghdr and nfgenmsg
const NFTA_GEN_ID = 1;

/**
 * The counter that nf_tables of this network namespace increments per transaction, by any process.
 */
export interface NftGeneration {
  /** Null if the kernel does not provide it. */
  read(): number | null;
  close(): void;
}

/** Throws SystemError. */
export function openNftGeneration(): NftGeneration {
  const fd = openNetlink(NETLINK_NETFILTER, 0);
  const memory = mapMemory(BUFFER_BYTES);
  const view = new DataView(memory.buffer);
  return {
    read() {
      view.setUint32(0, HEADER_BYTES, true);
      view.setUint16(4, NFT_MSG_GETGEN, true);
      view.setUint16(6, NLM_F_REQUEST, true);
      for (let at = 8; at < HEADER_BYTES; at += 4) view.setUint32(at, 0);
      if (write(fd, memory.address, HEADER_BYTES) !== HEADER_BYTES) return null;
      // The kernel has answered when write returns.
      const bytes = read(fd, memory.address, BUFFER_BYTES);
      for (let at = HEADER_BYTES; at + 8 <= bytes; ) {
        const length = view.getUint16(at, true);
        if (view.getUint16(at + 2, true) === NFTA_GEN_ID) return view.getUint32(at + 4);
        at += Math.max(4, (length + 3) & ~3);
      }
      return null;
    },
    close() {
      closeFile(fd);
      unmap(memory);
    },
  };
}
