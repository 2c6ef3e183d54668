// kubectl exec: a command inside a container, over a WebSocket.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, write } from 'node:fs';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { ReadStream } from 'node:tty';
import type { WebSocket } from 'ws';
import { openPty, resizePty } from '../../../datapath/io/sys.ts';
import type { ProcessId } from '../../host/process.ts';
import { commandInside, endCommand, environmentOf, missingProgram } from '../action/exec.ts';
import {
  type ChannelInput,
  Channels,
  exitStatus,
  failureStatus,
  STDERR,
  STDOUT,
  SUCCESS,
} from './channels.ts';
import { runningContainer, type StreamRequest } from './request.ts';

/** Terminal size until the client sends one. */
const COLUMNS = 80;
const ROWS = 24;

/** A running command. */
interface Command {
  child: ChildProcess;
  stdout: Readable;
  stderr: Readable | null;
  input: ChannelInput;
}

type Pause = (paused: boolean) => void;

/** Runs the command of a request and reports how it ended. */
export function streamExec(stateDir: string, request: StreamRequest, socket: WebSocket): void {
  const { query } = request;
  const isTrue = (option: string) => ['true', '1'].includes(query.get(option) ?? '');
  const words = query.getAll('command');
  // Input may arrive before the command has started.
  let input: ChannelInput | null = null;
  const channels = new Channels(socket, {
    onInput: (bytes) => input?.onInput(bytes),
    onInputEnd: () => input?.onInputEnd(),
    onResize: (columns, rows) => input?.onResize(columns, rows),
    onClose: () => input?.onClose(),
  });
  try {
    const container = runningContainer(stateDir, request);
    if (words.length === 0)
      throw new Error('you must specify at least one command for the container');
    const missing = missingProgram(container, words);
    if (missing !== null) throw new Error(`error executing command in container: ${missing}`);
    const pause = (paused: boolean) => channels.pauseInput(paused);
    const command = isTrue('tty')
      ? startOnTerminal(container, words, pause)
      : startOnPipes(container, words, isTrue('stdin'), pause);
    input = command.input;
    channels.pipe(command.stdout, STDOUT);
    if (command.stderr) channels.pipe(command.stderr, STDERR);
    tellEnd(command, channels);
  } catch (error) {
    channels.end(failureStatus((error as Error).message));
  }
}

/** Sends the final Status once the command has ended and its output is sent. */
function tellEnd({ child, stdout, stderr }: Command, channels: Channels): void {
  const said = [stdout, stderr].filter((stream) => stream !== null);
  let waits = said.length + 1;
  let status: object = SUCCESS;
  const done = () => {
    waits--;
    if (waits === 0) channels.end(status);
  };
  for (const stream of said) stream.once('close', done);
  child.once('error', (error) => {
    status = failureStatus(error.message);
    done();
  });
  child.once('exit', (code, signal) => {
    const ended = code ?? 128 + (signal ? constants.signals[signal] : 0);
    if (ended !== 0) status = exitStatus(ended);
    done();
  });
}

function startOnPipes(
  container: ProcessId,
  words: string[],
  stdin: boolean,
  pause: Pause,
): Command {
  const [file, ...args] = commandInside(container, words);
  const child = spawn(file!, args, {
    detached: true,
    env: environmentOf(container),
    stdio: [stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    cwd: '/',
  });
  // A command may end before it has read its input.
  child.stdin?.on('error', () => {});
  child.stdin?.on('drain', () => pause(false));
  return {
    child,
    stdout: child.stdout!,
    stderr: child.stderr!,
    input: {
      onInput: (bytes) => {
        if (child.stdin?.write(bytes) === false) pause(true);
      },
      onInputEnd: () => child.stdin?.end(),
      onResize: () => {},
      onClose: () => endCommand(child),
    },
  };
}

function startOnTerminal(container: ProcessId, words: string[], pause: Pause): Command {
  // A terminal of the container, so that its programs find it below /dev/pts.
  const { master, path } = openPty(`/proc/${container.pid}/root/dev/pts`);
  let terminal = -1;
  let child: ChildProcess;
  try {
    resizePty(master, COLUMNS, ROWS);
    terminal = openSync(path, 'r+');
    child = spawn('/usr/bin/setsid', ['--ctty', ...commandInside(container, words)], {
      env: { TERM: 'xterm', ...environmentOf(container) },
      stdio: [terminal, terminal, terminal],
      cwd: '/',
    });
  } catch (error) {
    closeSync(master);
    throw error;
  } finally {
    if (terminal >= 0) closeSync(terminal);
  }
  const stdout = new ReadStream(master);
  // When the last program on the terminal ends, reading fails with EIO.
  stdout.on('error', () => stdout.destroy());
  const keys = new TerminalInput(master, pause, () => stdout.destroyed);
  return {
    child,
    stdout,
    stderr: null,
    input: {
      onInput: (bytes) => keys.write(bytes),
      onInputEnd: () => {},
      onResize: (columns, rows) => {
        // A client without a terminal sends size 0.
        if (!stdout.destroyed && columns > 0 && rows > 0) resizePty(master, columns, rows);
      },
      onClose: () => {
        stdout.destroy();
        endCommand(child);
      },
    },
  };
}

/** With more unread bytes than this, the client's input is paused. */
const QUEUED_BYTES_MAX = 64 * 1024;
const RETRY_MS = 5;

/** Input on its way to a terminal. Programs may read late, and a terminal's buffer is 4 KiB. */
export class TerminalInput {
  readonly #fd: number;
  readonly #pause: (paused: boolean) => void;
  readonly #isGone: () => boolean;
  #queue = Buffer.alloc(0);
  #writing = false;

  /**
   * @param isGone true once the descriptor is closed. Its number may then belong to another file.
   */
  constructor(fd: number, pause: (paused: boolean) => void, isGone: () => boolean) {
    this.#fd = fd;
    this.#pause = pause;
    this.#isGone = isGone;
  }

  write(bytes: Buffer): void {
    this.#queue = Buffer.concat([this.#queue, bytes]);
    if (this.#queue.length > QUEUED_BYTES_MAX) this.#pause(true);
    if (!this.#writing) this.#next();
  }

  #next(): void {
    this.#writing = this.#queue.length > 0 && !this.#isGone();
    if (!this.#writing) return;
    write(this.#fd, this.#queue, (error, written = 0) => {
      if (error?.code === 'EAGAIN') return void setTimeout(() => this.#next(), RETRY_MS);
      // The last program on the terminal has ended.
      this.#queue = error ? Buffer.alloc(0) : this.#queue.subarray(written);
      if (this.#queue.length <= QUEUED_BYTES_MAX) this.#pause(false);
      this.#next();
    });
  }
}
