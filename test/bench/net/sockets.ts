// Blocking sockets by system calls: node:net and node:dgram cost more than the measured work.
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');
const cSocket = libc.func('int socket(int family, int type, int protocol)');
const cConnect = libc.func('int connect(int fd, uint8_t *address, uint32_t n)');
const cBind = libc.func('int bind(int fd, uint8_t *address, uint32_t n)');
const cListen = libc.func('int listen(int fd, int backlog)');
const cAccept = libc.func('int accept(int fd, uintptr_t address, uintptr_t n)');
const cSend = libc.func('intptr_t send(int fd, uint8_t *data, size_t n, int flags)');
const cSendto = libc.func(
  'intptr_t sendto(int fd, uint8_t *data, size_t n, int flags, uint8_t *address, uint32_t size)',
);
const cRecv = libc.func('intptr_t recv(int fd, uint8_t *data, size_t n, int flags)');
const cRecvfrom = libc.func(
  'intptr_t recvfrom(int fd, uint8_t *data, size_t n, int flags, uint8_t *address, uint8_t *size)',
);
const cSetsockopt = libc.func('int setsockopt(int fd, int l, int name, uint8_t *v, uint32_t n)');
const cClose = libc.func('int close(int fd)');

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_RCVBUFFORCE = 33;
const SO_RCVTIMEO = 20;
const SO_LINGER = 13;
const BACKLOG = 4096;

/** struct sockaddr_in. */
export function socketAddress(address: string, port: number): Uint8Array {
  return Uint8Array.of(
    AF_INET,
    0,
    port >> 8,
    port & 255,
    ...address.split('.').map(Number),
    ...new Uint8Array(8),
  );
}

const ONE = Uint8Array.of(1, 0, 0, 0);
/** Closing sends an RST, so that no port stays in TIME_WAIT. */
const LINGER_NOTHING = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);

/** Connects and closes. False if the connection is refused or times out. */
export function connectOnce(address: Uint8Array): boolean {
  const fd = cSocket(AF_INET, SOCK_STREAM, 0);
  const done = cConnect(fd, address, address.length) === 0;
  cSetsockopt(fd, SOL_SOCKET, SO_LINGER, LINGER_NOTHING, 8);
  cClose(fd);
  return done;
}

/** A listening socket. */
export function listenOn(address: Uint8Array): number {
  const fd = cSocket(AF_INET, SOCK_STREAM, 0);
  cSetsockopt(fd, SOL_SOCKET, SO_REUSEADDR, ONE, 4);
  if (cBind(fd, address, address.length) !== 0 || cListen(fd, BACKLOG) !== 0) {
    throw new Error('cannot listen');
  }
  return fd;
}

/** Accepts one connection and closes it. */
export function acceptOnce(listener: number): void {
  const fd = cAccept(listener, 0, 0);
  if (fd >= 0) cClose(fd);
}

/** A socket for datagrams to one address. */
export function datagramsTo(address: Uint8Array): number {
  const fd = cSocket(AF_INET, SOCK_DGRAM, 0);
  if (cConnect(fd, address, address.length) !== 0) throw new Error('cannot connect');
  return fd;
}

/** A bound socket for datagrams, with room for `bytes` of them. */
export function datagramsAt(address: Uint8Array, bytes: number): number {
  const fd = cSocket(AF_INET, SOCK_DGRAM, 0);
  cSetsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, new Uint8Array(Int32Array.of(bytes).buffer), 4);
  if (cBind(fd, address, address.length) !== 0) throw new Error('cannot bind');
  return fd;
}

export function send(fd: number, data: Uint8Array): void {
  cSend(fd, data, data.length, 0);
}

/** Waits for a datagram at most this long. Returns its bytes, or a negative number. */
export function receive(fd: number, data: Uint8Array, ms: number): number {
  const timeval = BigInt64Array.of(BigInt(Math.floor(ms / 1000)), BigInt((ms % 1000) * 1000));
  cSetsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, new Uint8Array(timeval.buffer), 16);
  return Number(cRecv(fd, data, data.length, 0));
}

/** Reads a datagram and writes its source to `from`, a socketAddress(). Returns its bytes. */
export function receiveFrom(fd: number, data: Uint8Array, from: Uint8Array): number {
  return Number(cRecvfrom(fd, data, data.length, 0, from, SIZE_OF_ADDRESS));
}

export function sendTo(fd: number, data: Uint8Array, to: Uint8Array): void {
  cSendto(fd, data, data.length, 0, to, to.length);
}

/** The kernel writes 16 into it, the size that it has. */
const SIZE_OF_ADDRESS = Uint8Array.of(16, 0, 0, 0);
