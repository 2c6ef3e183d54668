// Several streams in one WebSocket. The first byte of each message is the stream's number. Source:
// k8s.io/apimachinery/pkg/util/remotecommand.
import type { Readable } from 'node:stream';
import type { WebSocket } from 'ws';

/** v5 can also close a stream, which exec needs for its input. */
export const EXEC_PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io'] as const;

const STDIN = 0;
export const STDOUT = 1;
export const STDERR = 2;
const ERROR = 3;
const RESIZE = 4;
const CLOSE = 255;

/** With more bytes than this on the way to a slow client, the command's output is paused. */
const BUFFERED_BYTES_MAX = 1024 * 1024;

export interface ChannelInput {
  onInput(bytes: Buffer): void;
  onInputEnd(): void;
  onResize(columns: number, rows: number): void;
  /** The client has disconnected. */
  onClose(): void;
}

export class Channels {
  readonly #socket: WebSocket;

  constructor(socket: WebSocket, input: ChannelInput) {
    this.#socket = socket;
    socket.binaryType = 'nodebuffer';
    socket.on('message', (data: Buffer) => {
      const rest = data.subarray(1);
      if (data[0] === STDIN) input.onInput(rest);
      else if (data[0] === CLOSE && rest[0] === STDIN) input.onInputEnd();
      else if (data[0] === RESIZE) readSize(rest, input);
    });
    socket.once('close', () => input.onClose());
  }

  /** Sends a stream's data until it ends. */
  pipe(stream: Readable, channel: number): void {
    stream.on('data', (bytes: Buffer) => {
      this.#socket.send(Buffer.concat([Buffer.of(channel), bytes]), () => {
        if (stream.isPaused() && this.#socket.bufferedAmount < BUFFERED_BYTES_MAX) stream.resume();
      });
      if (this.#socket.bufferedAmount >= BUFFERED_BYTES_MAX) stream.pause();
    });
  }

  /** Pauses or resumes the client's input. */
  pauseInput(paused: boolean): void {
    if (paused) this.#socket.pause();
    else this.#socket.resume();
  }

  /** Sends the final Status and closes the socket. */
  end(status: object): void {
    this.#socket.send(Buffer.concat([Buffer.of(ERROR), Buffer.from(JSON.stringify(status))]));
    this.#socket.close(1000);
  }
}

function readSize(bytes: Buffer, input: ChannelInput): void {
  try {
    const { Width, Height } = JSON.parse(bytes.toString()) as { Width: number; Height: number };
    input.onResize(Width, Height);
  } catch {
    // An invalid size is ignored.
  }
}

export const SUCCESS = { metadata: {}, status: 'Success' };

/** The Status of a command with an exit code other than 0. */
export function exitStatus(code: number): object {
  const message = `command terminated with non-zero exit code: ${code}`;
  return {
    ...{ metadata: {}, status: 'Failure', message, reason: 'NonZeroExitCode' },
    details: { causes: [{ reason: 'ExitCode', message: String(code) }] },
  };
}

/** The Status of a command that could not run. */
export function failureStatus(message: string): object {
  return { metadata: {}, status: 'Failure', message, reason: 'InternalError', code: 500 };
}
