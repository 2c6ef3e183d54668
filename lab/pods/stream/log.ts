// kubectl logs and kubectl attach.
import { existsSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { PassThrough, pipeline, Readable, type Writable } from 'node:stream';
import type { WebSocket } from 'ws';
import { isAlive, type ProcessId } from '../../host/process.ts';
import { type LogRun, logName, pipePath, runsOf } from '../../logs/files.ts';
import { formatTime } from '../../logs/format.ts';
import { type ReadOptions, readLog } from '../../logs/reader.ts';
import { Channels, failureStatus, STDOUT, SUCCESS } from './channels.ts';
import { containerOf, runningContainer, StreamError, type StreamRequest } from './request.ts';

/** Longest wait for the last output of an ended container. */
const DRAIN_MS_MAX = 2000;

/**
 * Answers a request for a log. With `follow` it goes on until the container ends. Throws
 * StreamError.
 */
export function streamLog(
  stateDir: string,
  request: StreamRequest,
  response: ServerResponse,
): void {
  const options = readOptions(request.query);
  const isPrevious = request.query.get('previous') === 'true';
  const isFollowed = request.query.get('follow') === 'true';
  const log = runOf(stateDir, request, isPrevious);
  const process = isPrevious ? null : containerOf(stateDir, request);
  response.writeHead(200, { 'content-type': 'text/plain' });
  if (!log) return void response.end();
  if (isFollowed) response.flushHeaders();
  const isGrowing = process !== null && isAlive(process);
  const isOver = isGrowing && !isFollowed ? null : untilWritten(log, process);
  answer(log, { ...options, isOver }, response);
}

/** Writes new output of a container, until the container or the reader ends. */
export function followLog(
  stateDir: string,
  request: StreamRequest,
  process: ProcessId,
  reader: Writable,
): void {
  const log = runOf(stateDir, request, false);
  if (!log) return void reader.end();
  const options = { since: '', timestamps: false, bytesMax: Number.POSITIVE_INFINITY };
  answer(log, { ...options, tailLines: 0, isOver: untilWritten(log, process) }, reader);
}

function answer(log: LogRun, options: Omit<ReadOptions, 'signal'>, reader: Writable): void {
  const gone = new AbortController();
  reader.once('close', () => gone.abort());
  const text = readLog(log, { ...options, signal: gone.signal });
  pipeline(Readable.from(text, { objectMode: false }), reader, () => {});
}

/** The run that a request asks for. Null if there was none. */
function runOf(
  stateDir: string,
  { namespace, pod, query }: StreamRequest,
  isPrevious: boolean,
): LogRun | null {
  const name = logName(namespace, pod, query.get('container') ?? '');
  const run = runsOf({ stateDir, name }).at(isPrevious ? -2 : -1);
  return run === undefined ? null : { stateDir, name, run };
}

/**
 * Returns a function that is true once the process has ended and its output is in the log. Null
 * stands for a process that has ended already.
 */
function untilWritten(log: LogRun, process: ProcessId | null): () => boolean {
  let endedMs: number | null = null;
  return () => {
    if (process && isAlive(process)) return false;
    endedMs ??= Date.now();
    // A child of the ended process may still hold the pipe open, so the wait is bounded.
    return !existsSync(pipePath(log)) || Date.now() - endedMs > DRAIN_MS_MAX;
  };
}

/** Throws StreamError for an invalid value. */
function readOptions(query: URLSearchParams): Omit<ReadOptions, 'signal' | 'isOver'> {
  const seconds = readCount(query, 'sinceSeconds', 1);
  const time = query.get('sinceTime');
  if (seconds !== null && time !== null) {
    throw new StreamError(400, 'sinceSeconds, sinceTime: at most one of the two may be given');
  }
  const timeMs = time === null ? null : Date.parse(time);
  if (Number.isNaN(timeMs)) {
    const wanted = 'must be a time like 2026-01-31T12:00:00Z';
    throw new StreamError(400, `sinceTime: Invalid value: ${JSON.stringify(time)}: ${wanted}`);
  }
  const sinceMs = seconds === null ? timeMs : Math.max(0, Date.now() - seconds * 1000);
  return {
    since: sinceMs === null ? '' : formatTime(sinceMs),
    timestamps: query.get('timestamps') === 'true',
    bytesMax: readCount(query, 'limitBytes', 1) ?? Number.POSITIVE_INFINITY,
    tailLines: readCount(query, 'tailLines', 0),
  };
}

/**
 * Null if the option is absent. Throws StreamError unless it is a whole number of at least `least`.
 */
function readCount(query: URLSearchParams, option: string, least: number): number | null {
  const text = query.get(option);
  if (text === null) return null;
  if (/^\d{1,15}$/.test(text) && Number(text) >= least) return Number(text);
  throw new StreamError(
    400,
    `${option}: Invalid value: ${JSON.stringify(text)}: must be at least ${least}`,
  );
}

const NO_INPUT = 'attach: stdin is not supported by containers of the lab: use kubectl exec -it';

export function streamAttach(stateDir: string, request: StreamRequest, socket: WebSocket): void {
  const said = new PassThrough();
  const channels = new Channels(socket, {
    onInput: () => {},
    onInputEnd: () => {},
    onResize: () => {},
    onClose: () => said.destroy(),
  });
  try {
    if (request.query.get('stdin') === 'true') throw new Error(NO_INPUT);
    const container = runningContainer(stateDir, request);
    channels.pipe(said, STDOUT);
    said.once('end', () => channels.end(SUCCESS));
    followLog(stateDir, request, container, said);
  } catch (error) {
    channels.end(failureStatus((error as Error).message));
  }
}
