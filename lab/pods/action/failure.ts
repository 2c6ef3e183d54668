// Why a network action fails, in the words of a kubelet: errors of Go's net and net/http.
import { getSystemErrorMap } from 'node:util';

/** Ends of messages about a time limit. */
export const DEADLINE = 'context deadline exceeded';
export const AWAITING_HEADERS = '(Client.Timeout exceeded while awaiting headers)';

/** Where libuv and Go differ. */
const GO_TEXTS: Record<string, string> = {
  EHOSTUNREACH: 'no route to host',
  EADDRNOTAVAIL: 'cannot assign requested address',
};
const TEXT_OF_CODE = new Map(getSystemErrorMap().values());

/**
 * The reason of a failed connection or exchange with `target` (`address:port`), such as
 * `dial tcp 10.244.1.2:80: connect: connection refused`.
 */
export function reasonOf(error: Error, target: string): string {
  const { code = '', syscall = '', message } = originOf(error);
  if (code === 'ECONNRESET' && syscall === '') return 'EOF';
  // Node reports it for TLS only.
  if (code === 'EPROTO') return 'tls: first record does not look like a TLS handshake';
  if (code.startsWith('HPE_')) return 'malformed HTTP response';
  const text = GO_TEXTS[code] ?? TEXT_OF_CODE.get(code);
  if (text === undefined || syscall === '') return text ?? message;
  return `${isDialError(error) ? 'dial' : syscall} tcp ${target}: ${syscall}: ${text}`;
}

/** True if the connection itself failed, not a read or a write on it. */
export function isDialError(error: Error): boolean {
  return originOf(error).syscall === 'connect';
}

/** HTTP/2 streams carry the error of their socket as a cause. */
function originOf(error: Error): NodeJS.ErrnoException {
  return error.cause instanceof Error ? error.cause : error;
}

/** The reason of a connection that was not accepted in time. */
export function dialTimeout(target: string): string {
  return `dial tcp ${target}: i/o timeout`;
}
