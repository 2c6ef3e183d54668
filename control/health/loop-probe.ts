// Whether packets come through the node's steering and its device as far as the datapath's loop: a
// small datagram a second, sent the way of the node's own packets, and answered by the loop with a
// word of the arena.
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
/** One that was not answered is followed by others sooner: a full queue may have lost it. */
const AGAIN_MS = 250;
/** So many in a row are no accident: the part is unhealthy 4 s after the last answer. */
const UNANSWERED_MAX = 10;
/** Discard (RFC 863): no one answers where steering leads a probe astray. */
const PORT = 9;

export interface LoopProbeOptions {
  /** Of the arena. */
  header: Int32Array;
  /** Where steering leads to the datapath, and nothing lives: it may change. */
  address: () => string;
  /** Sends a datagram; `onFailed` learns why it could not. */
  send: (payload: Uint8Array, address: string, onFailed: (why: string) => void) => void;
  clock: MonotonicClock;
}

/** Sends probes until it is stopped, and tells whether they arrive. */
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

/** Probes the way into the datapath until `started` is disposed of; says whether it is open. */
export function startProbe(
  { arena }: Engine,
  address: () => string,
  started: AsyncDisposableStack,
): HealthCheck {
  const socket = createSocket('udp4');
  started.defer(() => void socket.close());
  // What fails is a reason, and no end of the agent.
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
