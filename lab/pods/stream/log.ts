// What a container has said, from its log file. Lines have no times: the file is what the container wrote, and nothing
// stands between them.
import { closeSync, createReadStream, fstatSync, openSync, readSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { pipeline, type Writable } from 'node:stream';
import { isAlive, type ProcessId } from '../../host/process.ts';
import { logPath, previousLogPath } from '../records.ts';
import { containerOf, StreamError, type StreamRequest } from './request.ts';

const POLL_MS = 100;
const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 10;

/** Answers a request for a log, and follows it if it is asked to until the container ends. Throws StreamError. */
export function streamLog(
  stateDir: string,
  request: StreamRequest,
  response: ServerResponse,
): void {
  const { namespace, pod, query } = request;
  const container = query.get('container') ?? '';
  for (const option of ['timestamps', 'sinceSeconds', 'sinceTime']) {
    if (!['', 'false', null].includes(query.get(option))) {
      const message = `${option}: the lab's logs have no times; leave --timestamps and --since out`;
      throw new StreamError(400, message);
    }
  }
  requireCount(query, 'limitBytes', 1);
  requireCount(query, 'tailLines', 0);
  const isPrevious = query.get('previous') === 'true';
  const path = (isPrevious ? previousLogPath : logPath)(stateDir, namespace, pod, container);
  const fd = openLog(path);
  response.writeHead(200, { 'content-type': 'text/plain' });
  if (fd === null) return void response.end();
  const start = tailOffset(fd, query.get('tailLines'));
  const process = containerOf(stateDir, request);
  if (query.get('follow') !== 'true' || isPrevious || !process) {
    const end = start + limitOf(query) - 1;
    // A client that goes before the end takes the file's descriptor with it.
    return void pipeline(createReadStream(path, { fd, start, end }), response, () => {});
  }
  response.flushHeaders();
  follow(new Log(fd, start, limitOf(query)), process, response);
}

/** Writes what a container says from now on, until it ends or nobody reads. */
export function followLog(
  stateDir: string,
  { namespace, pod, query }: StreamRequest,
  process: ProcessId,
  reader: Writable,
): void {
  const fd = openLog(logPath(stateDir, namespace, pod, query.get('container') ?? ''));
  if (fd === null) return void reader.end();
  follow(new Log(fd, fstatSync(fd).size, Number.POSITIVE_INFINITY), process, reader);
}

function follow(log: Log, process: ProcessId, response: Writable): void {
  const pump = () => {
    // Looked at first, so that its last words are copied.
    const ended = !isAlive(process);
    // A client that reads slowly is waited for.
    if (response.writableNeedDrain) return;
    if (log.copyTo(response) && !(ended && !response.writableNeedDrain)) return;
    // What is said from now on nobody is told.
    clearInterval(timer);
    response.removeListener('drain', pump);
    response.end();
  };
  const timer = setInterval(pump, POLL_MS);
  response.on('drain', pump);
  response.once('close', () => {
    clearInterval(timer);
    log.close();
  });
  pump();
}

class Log {
  readonly #fd: number;
  #offset: number;
  #left: number;

  constructor(fd: number, offset: number, limit: number) {
    this.#fd = fd;
    this.#offset = offset;
    this.#left = limit;
  }

  /** Writes what is new; false once the limit is reached. */
  copyTo(response: Writable): boolean {
    // It was cut, being too long: it begins anew.
    if (fstatSync(this.#fd).size < this.#offset) this.#offset = 0;
    while (this.#left > 0) {
      const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, this.#left));
      const bytes = readSync(this.#fd, chunk, 0, chunk.length, this.#offset);
      if (bytes === 0) return true;
      this.#offset += bytes;
      this.#left -= bytes;
      if (!response.write(chunk.subarray(0, bytes))) return true;
    }
    return false;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function openLog(path: string): number | null {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** Throws StreamError unless an option is left out or a whole number that is not below `least`. */
function requireCount(query: URLSearchParams, option: string, least: number): void {
  const text = query.get(option);
  if (text === null || (/^\d{1,15}$/.test(text) && Number(text) >= least)) return;
  throw new StreamError(
    400,
    `${option}: Invalid value: ${JSON.stringify(text)}: must be at least ${least}`,
  );
}

function limitOf(query: URLSearchParams): number {
  const text = query.get('limitBytes');
  return text === null ? Number.POSITIVE_INFINITY : Number(text);
}

/** Where the last so many lines begin; everything without a number. */
function tailOffset(fd: number, lines: string | null): number {
  const { size } = fstatSync(fd);
  if (lines === null) return 0;
  let left = Number(lines);
  if (left === 0) return size;
  // The end of the last line is not the beginning of another one.
  for (let end = size; end > 0; ) {
    const begin = Math.max(0, end - CHUNK_BYTES);
    const chunk = Buffer.alloc(end - begin);
    readSync(fd, chunk, 0, chunk.length, begin);
    for (let i = chunk.length - 1; i >= 0; i--) {
      if (chunk[i] !== NEWLINE || begin + i === size - 1) continue;
      if (--left === 0) return begin + i + 1;
    }
    end = begin;
  }
  return 0;
}
