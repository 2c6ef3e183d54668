// Probes whether packets reach the datapath's loop through the node's steering and device. Sends a
// small datagram once a second, like any packet of the node. The loop confirms it in a word of the
// arena.
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import {
  H_PROBE_ADDRESS,
  H_PROBE_KEY,
  H_PROBE_SEEN,
  PROBE_BYTES,
} from '../../datapath/arena/layout.ts';
import { parseAddress } from '../../datapath/wire/address.ts';
import type { Engine } from '../../datapath/worker/engine.ts';
import { MONOTONIC_CLOCK, type MonotonicClock } from '../clock.ts';
import type { HealthCheck } from './monitor.ts';

const PROBE_MS = 1000;
/** Interval after an unanswered probe. A full queue may have lost it. */
const AGAIN_MS = 250;
/** Unanswered probes in a row that make the part unhealthy: about 4 s after the last answer. */
const UNANSWERED_MAX = 10;
/** Discard (RFC 863): a probe that misses the datapath gets no reply from another host. */
const PORT = 9;

export interface LoopProbeOptions {
  /** Header of the arena. */
  header: Int32Array;
  /** An unused address that steering leads to the datapath. It may change. */
  address: () => string;
  /** Sends a datagram; `onFailed` gets the reason of a failure. */
  send: (payload: Uint8Array, address: string, onFailed: (why: string) => void) => void;
  clock: MonotonicClock;
}

/** Sends probes until it is stopped, and checks whether they arrive. */
export class LoopProbe {
  readonly #options: LoopProbeOptions;
  readonly #key = randomInt(1, 2 ** 31);
  #number = 0;
  #seen: number;
  #unanswered = 0;
  #answeredMs: number;
  #failure = '';
  #cancel = () => {};

  constructor(options: LoopProbeOptions) {
    this.#options = options;
    this.#seen = options.header[H_PROBE_SEEN]!;
    this.#number = this.#seen;
    this.#answeredMs = options.clock.monotonicMs();
    options.header[H_PROBE_KEY] = this.#key;
    this.#turn();
  }

  /** Unhealthy while probes do not arrive. */
  readonly check: HealthCheck = () => {
    this.#look();
    if (this.#unanswered < UNANSWERED_MAX) return null;
    const failure = this.#failure === '' ? '' : `; sending fails: ${this.#failure}`;
    const what = `${this.#unanswered} probes in a row did not come through the device`;
    return { reason: `${what}${failure}`, sinceMs: this.#answeredMs };
  };

  stop(): void {
    this.#cancel();
    this.#options.header[H_PROBE_KEY] = 0;
  }

  #look(): void {
    const seen = this.#options.header[H_PROBE_SEEN]!;
    if (seen === this.#seen) return;
    this.#seen = seen;
    this.#unanswered = 0;
    this.#failure = '';
    this.#answeredMs = this.#options.clock.monotonicMs();
  }

  #turn(): void {
    const { clock } = this.#options;
    this.#look();
    const ms = this.#unanswered === 0 ? PROBE_MS : AGAIN_MS;
    this.#send();
    this.#cancel = clock.after(ms, () => this.#turn());
  }

  #send(): void {
    const { header, address, send } = this.#options;
    const to = address();
    header[H_PROBE_ADDRESS] = parseAddress(to)!;
    this.#number = (this.#number + 1) | 0;
    this.#unanswered++;
    const payload = new DataView(new ArrayBuffer(PROBE_BYTES));
    payload.setInt32(0, this.#key);
    payload.setInt32(4, this.#number);
    send(new Uint8Array(payload.buffer), to, (why) => {
      this.#failure = why;
    });
  }
}

/** Probes the path into the datapath until `started` is disposed of. Returns the health check. */
export function startProbe(
  { arena }: Engine,
  address: () => string,
  started: AsyncDisposableStack,
): HealthCheck {
  const socket = createSocket('udp4');
  started.defer(() => void socket.close());
  // Errors become a reason of the health check. They must not end the agent.
  let failed = (_why: string) => {};
  socket.on('error', (error) => failed(String(error)));
  const send: LoopProbeOptions['send'] = (payload, to, onFailed) => {
    failed = onFailed;
    socket.send(payload, PORT, to, (error) => error && onFailed(error.message));
  };
  const { header } = arena;
  const probe = new LoopProbe({ header, address, send, clock: MONOTONIC_CLOCK });
  started.defer(() => probe.stop());
  return probe.check;
}
