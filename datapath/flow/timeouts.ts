// How long a flow lives without a packet: per state, for each role of a datapath, with the names by
// which users set them.

import * as states from './state.ts';

/** Timeouts in ms per state. */
export type Timeouts = Int32Array;

/** The clock is a wrapping int32 of ms: 24.8 days would look like the future. */
export const TIMEOUT_S_MIN = 1;
export const TIMEOUT_S_MAX = 24 * 86_400;

/**
 * By name: seconds on a node, and the states that it sets. Names are the kernel's sysctls,
 * net.netfilter.nf_conntrack_*_timeout_*, with dashes. As there, `tcp-syn-sent` also covers a
 * simultaneous open, `udp` a flow that is no stream yet, `sctp` one that is not established.
 */
const TIMEOUTS = {
  'tcp-syn-sent': [120, states.STATE_SYN_SENT, states.STATE_SYN_SENT2],
  'tcp-syn-recv': [60, states.STATE_SYN_RECV],
  'tcp-established': [86_400, states.STATE_ESTABLISHED],
  'tcp-fin-wait': [120, states.STATE_FIN_WAIT],
  'tcp-close-wait': [3600, states.STATE_CLOSE_WAIT],
  'tcp-last-ack': [30, states.STATE_LAST_ACK],
  'tcp-time-wait': [120, states.STATE_TIME_WAIT],
  'tcp-close': [10, states.STATE_CLOSE],
  udp: [30, states.STATE_UDP_UNREPLIED, states.STATE_UDP_REPLIED],
  'udp-stream': [120, states.STATE_UDP_STREAM],
  icmp: [30, states.STATE_ICMP],
  sctp: [60, states.STATE_SCTP_NEW],
  'sctp-established': [210, states.STATE_SCTP_ESTABLISHED],
  other: [600, states.STATE_NONE],
} as const;

export type TimeoutName = keyof typeof TIMEOUTS;
/** Seconds by name. */
export type TimeoutSeconds = Partial<Record<TimeoutName, number>>;

export const TIMEOUT_NAMES = Object.keys(TIMEOUTS) as TimeoutName[];

export function isTimeoutName(text: string): text is TimeoutName {
  return Object.hasOwn(TIMEOUTS, text);
}

/** Seconds on a node. */
export function defaultTimeoutS(name: TimeoutName): number {
  return TIMEOUTS[name][0];
}

/**
 * Minimum timeouts of a NAT gateway: RFC 5382 5 (TCP), RFC 4787 4.3 (UDP), RFC 5508 3.2 (ICMP).
 * There a connection closes when both ends have sent a FIN; a half-closed one is established.
 */
const GATEWAY_S: TimeoutSeconds = {
  'tcp-syn-sent': 240,
  'tcp-syn-recv': 240,
  'tcp-established': 7440,
  'tcp-fin-wait': 7440,
  'tcp-close-wait': 7440,
  'tcp-last-ack': 240,
  'tcp-time-wait': 240,
  udp: 300,
  'udp-stream': 300,
  icmp: 60,
  'sctp-established': 7440,
};

/** Timeouts of a node. `given` is seconds by name, TIMEOUT_S_MIN to TIMEOUT_S_MAX. */
export function nodeTimeouts(given: TimeoutSeconds = {}): Timeouts {
  const timeouts = new Int32Array(states.STATE_COUNT);
  for (const name of TIMEOUT_NAMES) {
    const [seconds, ...ofStates] = TIMEOUTS[name];
    for (const state of ofStates) timeouts[state] = (given[name] ?? seconds) * 1000;
  }
  return timeouts;
}

/** Timeouts of a gateway; a name that GATEWAY_S lacks is as on a node. */
export function gatewayTimeouts(given: TimeoutSeconds = {}): Timeouts {
  return nodeTimeouts({ ...GATEWAY_S, ...given });
}
