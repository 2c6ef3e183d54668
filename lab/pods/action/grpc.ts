// Health checks of gRPC. Source: pkg/probe/grpc, grpc/grpc doc/health-checking.md.
import { connect } from 'node:http2';
import type { Probe } from '../../../control/kube/kinds.ts';
import { DEADLINE, isDialError, reasonOf } from './failure.ts';
import { type ActionResult, bad, type Dialer, dialing, USER_AGENT, type Words } from './network.ts';

type Grpc = NonNullable<Probe['grpc']>;

const CHECK = '/grpc.health.v1.Health/Check';
const STATUSES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];
const SERVING = 'SERVING';
const GRPC_OK = 0;
const GRPC_UNIMPLEMENTED = 12;
/** A compressed flag and the length of the message. */
const FRAME_BYTES = 5;
/** Field 1 of both messages: the name of a service, and a status. */
const SERVICE_TAG = 0x0a;
const STATUS_TAG = 0x08;
const VARINT_MORE = 0x80;

/** Good if the server says that its service is serving. Never rejects. */
export function grpcHealth(action: Grpc, dialer: Dialer, timeoutMs: number): Promise<ActionResult> {
  const { port, service = '' } = action;
  const seconds = `${timeoutMs / 1000}s`;
  const words: Words = {
    failed: (at, why) => `error: failed to connect service at ${JSON.stringify(at)}: ${why}`,
    late: (at, isConnected) =>
      isConnected
        ? `timeout: health rpc did not complete within ${seconds}`
        : `timeout: failed to connect service ${JSON.stringify(at)} within ${seconds}: ${DEADLINE}`,
  };
  return dialing({ port }, dialer, { timeoutMs, words }, (socket, at, settle) => {
    const session = connect(`http://${at}`, { createConnection: () => socket });
    const fail = (error: Error) => {
      session.destroy();
      const why = reasonOf(error, at);
      const after = `error: health rpc probe failed: ${why}`;
      settle(bad(isDialError(error) ? words.failed(at, why) : after));
    };
    session.on('error', fail);
    const call = session.request({
      ...{ ':method': 'POST', ':path': CHECK, 'content-type': 'application/grpc', te: 'trailers' },
      'user-agent': USER_AGENT,
    });
    const parts: Buffer[] = [];
    let status = Number.NaN;
    let message = '';
    // A server that has nothing to answer puts the status into the headers.
    const read = (headers: Record<string, unknown>) => {
      if (headers['grpc-status'] === undefined) return;
      status = Number(headers['grpc-status']);
      message = decodeURIComponent(String(headers['grpc-message'] ?? ''));
    };
    call.on('error', fail);
    call.on('response', read);
    call.on('trailers', read);
    call.on('data', (part: Buffer) => parts.push(part));
    call.on('end', () => {
      session.destroy();
      settle(resultOf(status, message, Buffer.concat(parts)));
    });
    call.end(requestFor(service));
  });
}

function requestFor(service: string): Buffer {
  const name = Buffer.from(service);
  const body = Buffer.concat([Buffer.of(SERVICE_TAG), varint(name.length), name]);
  const frame = Buffer.alloc(FRAME_BYTES);
  const message = name.length > 0 ? body : Buffer.alloc(0);
  frame.writeUInt32BE(message.length, 1);
  return Buffer.concat([frame, message]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= VARINT_MORE; rest >>>= 7) bytes.push((rest & (VARINT_MORE - 1)) | VARINT_MORE);
  return Buffer.from([...bytes, rest]);
}

function resultOf(status: number, message: string, answer: Buffer): ActionResult {
  if (status === GRPC_UNIMPLEMENTED) {
    const health = 'grpc health protocol (grpc.health.v1.Health)';
    return bad(`error: this server does not implement the ${health}: ${message}`);
  }
  if (status !== GRPC_OK) {
    const code = Number.isNaN(status) ? 'no gRPC status in the answer' : `code = ${status}`;
    return bad(`error: health rpc probe failed: ${code} desc = ${message}`);
  }
  // The zero of a field is left out.
  const value = answer[FRAME_BYTES] === STATUS_TAG ? (answer[FRAME_BYTES + 1] ?? 0) : 0;
  const health = STATUSES[value] ?? String(value);
  return health === SERVING
    ? { good: true, output: '' }
    : bad(`service unhealthy (responded with ${JSON.stringify(health)})`);
}
