// Requests of the API server on behalf of a client: `/STREAM/NAMESPACE/POD?...`.
import { isAlive, type ProcessId } from '../../host/process.ts';
import { readPodRecord } from '../sandbox/records.ts';

/** A refusal whose message is shown to the client. */
export class StreamError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export interface StreamRequest {
  stream: string;
  namespace: string;
  pod: string;
  query: URLSearchParams;
}

/** Throws StreamError 400 for a path that cannot be decoded. */
export function readStreamRequest(path: string): StreamRequest {
  try {
    const url = new URL(path, 'http://pods');
    const words = url.pathname.split('/').map(decodeURIComponent);
    const [, stream = '', namespace = '', pod = ''] = words;
    return { stream, namespace, pod, query: url.searchParams };
  } catch {
    throw new StreamError(400, `the path ${path} cannot be decoded: ask for /STREAM/NAMESPACE/POD`);
  }
}

/** The process of a running container. Throws StreamError. */
export function runningContainer(stateDir: string, request: StreamRequest): ProcessId {
  const name = request.query.get('container') ?? '';
  const found = containerOf(stateDir, request);
  if (found && isAlive(found)) return found;
  throw new StreamError(400, `container ${name} of pod ${request.pod} does not run`);
}

/** The last recorded process of a container. Null if there is none. */
export function containerOf(
  stateDir: string,
  { namespace, pod, query }: StreamRequest,
): ProcessId | null {
  const name = query.get('container');
  const record = readPodRecord(stateDir, namespace, pod);
  return record?.containers.find((container) => container.name === name)?.process ?? null;
}
