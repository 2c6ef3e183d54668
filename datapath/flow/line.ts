// One side of a flow: sixteen 32-bit words, one cache line. A flow is two lines side by side: the
// even side is keyed by the original tuple (client side), the odd one by the reply tuple (backend
// side). Each line holds the key that a packet must have and what that packet becomes, so that a
// hit touches one line only.
//
// Addresses are int32 in host order; ports are (source << 16 | destination). For ICMP echo the
// source half is the identifier and the destination half the ICMP type, so that a request never
// matches a reply's side.

export const LINE_WORDS = 16;
export const LINE_SHIFT = 4;
export const LINE_BYTES_SHIFT = 6;
/** Changes no line's offset in bytes; see COUNT_MASK. */
export const LINE_MASK = 0x3fffffff;

export const W_SRC = 0;
export const W_DST = 1;
export const W_PORTS = 2;
/** proto | state << 8 | flags << 16. Zero marks a free line; a new line's is written last. */
export const W_META = 3;
export const W_NEW_SRC = 4;
export const W_NEW_DST = 5;
export const W_NEW_PORTS = 6;
/** Checksum deltas: of the addresses (low half), of addresses and ports (high half). */
export const W_SUMS = 7;
/** When this side last renewed the flow, in ms of the datapath's clock (wraps). */
export const W_SEEN = 8;
export const W_PACKETS = 9;
/** IPv4 bytes, the low half of 64 bits and the high one. */
export const W_BYTES = 10;
export const W_BYTES_HIGH = 11;
/** TCP: the sequence number after the last byte that this side sent. */
export const W_SEQ_END = 12;
/** UDP, client line: the image generation in which its endpoint was last found valid. */
export const W_CHECKED = 12;
/** TCP: the highest acknowledgement that this side sent. */
export const W_ACK = 13;
/** The Service port's id on both lines; 0 for none. */
export const W_SERVICE = 14;
/** Other than TCP: when the flow was made, ms. */
export const W_BORN = 15;
/** TCP, client line: the end of the last remembered segment, see RECENT_*. */
export const W_RECENT_END = 15;
/** TCP, backend line: acknowledgement of the last ACK that answered a SYN without counting. */
export const W_RECENT_ACK = 15;

export const META_PROTO_MASK = 0xff;
export const META_STATE_SHIFT = 8;
export const META_STATE_MASK = 0x0f00;
/** TCP: RECENT_*, the last segment that counted or passed without counting. */
export const META_RECENT_SHIFT = 12;
export const META_RECENT_MASK = 0x7000;
/** In SYN_SENT2 and SYN_RECV: both ends opened. After ESTABLISHED: a FIN began the close. */
export const FLAG_TURN = 1 << 15;
/**
 * State, RECENT_* and FLAG_TURN: only the state is set in an established connection without a
 * remembered segment.
 */
export const META_TCP_MASK = 0xff00;

/** An ACK of either end. Zero, so that the fast path writes nothing. */
export const RECENT_ACK = 0;
/** A SYN-ACK or a FIN. */
export const RECENT_OTHER = 1;
export const RECENT_SYN = 2;
export const RECENT_SYN_BACK = 3;
/**
 * A client's SYN in LAST_ACK: the backend's next ACK may challenge it (RFC 5961 4) and does not end
 * the flow.
 */
export const RECENT_SYN_LATE = 4;
export const RECENT_RST = 5;
export const RECENT_RST_BACK = 6;
/** A backend's ACK in answer to a SYN: the client may send an RST with that acknowledgement. */
export const RECENT_ACK_BACK = 7;

export const FLAG_DNAT = 1 << 16;
export const FLAG_SNAT = 1 << 17;
export const FLAG_HAIRPIN = 1 << 18;
/** A reply was seen. */
export const FLAG_REPLIED = 1 << 19;
/** Established for good: never evicted for a new flow. */
export const FLAG_ASSURED = 1 << 20;
/** Restore one hop: the kernel decrements this side's TTL once too often. */
export const FLAG_TTL_BACK = 1 << 21;
/** The policies in force deny this flow. */
export const FLAG_DENIED = 1 << 22;
/** The policy generation of the flow's last check, 1 to 511, in the bits above. */
export const EPOCH_SHIFT = 23;
export const EPOCHS = 511;

/** The bits of W_META of a flow that passed the check of this policy generation. */
export function epochOf(generation: number): number {
  return ((generation % EPOCHS) + 1) << EPOCH_SHIFT;
}

/** No side: there is none, or the look-up ended at its limit. */
export const NO_SIDE = -1;
