// Every direct system call of kubetun, through koffi. Memory addresses are plain numbers (below
// 2^53 on x86-64 and arm64): a number costs 0.1 us less per call than a view, and the loop passes
// offsets into one buffer without making views.
import { constants as fileConstants } from 'node:fs';
import { constants as osConstants } from 'node:os';
import koffi from 'koffi';
import { KubetunError } from '../error.ts';

const libc = koffi.load('libc.so.6');

export const { EACCES, EAGAIN, EBUSY, EEXIST, EINVAL, ELOOP, ENOBUFS, ENOENT, ENOSPC } =
  osConstants.errno;

// The numbers of some depend on the architecture.
const { O_CREAT, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = fileConstants;
const O_CLOEXEC = 0o2000000;
const EFD_FLAGS = O_NONBLOCK | O_CLOEXEC;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_SHARED_ANONYMOUS = 0x21;
const MAP_FAILED = 18446744073709551615n;
const LOCK_EX_NB = 6;
const TIOCSPTLCK = 0x40045431;
const TIOCGPTN = 0x80045430;
const TIOCSWINSZ = 0x5414;
const CLONE_NEWNET = 0x40000000;
const AF_INET = 2;
const AF_NETLINK = 16;
const SOCK_RAW_FLAGS = 3 | O_NONBLOCK | O_CLOEXEC;
const SOCK_STREAM_FLAGS = 1 | O_NONBLOCK | O_CLOEXEC;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
export const EPOLLIN = 1;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
/** struct epoll_event: packed on x86-64 only. Offset of the data that `watchFile` stores. */
export const EPOLL_EVENT_BYTES = process.arch === 'x64' ? 12 : 16;
export const EPOLL_EVENT_OFF_DATA = EPOLL_EVENT_BYTES - 8;

const cOpen = libc.func('int open(const char *path, int flags, int mode)');
const cMkfifo = libc.func('int mkfifo(const char *path, unsigned int mode)');
const cIoctl = libc.func('int ioctl(int fd, unsigned long request, uint8_t *arg)');
const cIoctlNumber = libc.func('ioctl', 'int', ['int', 'unsigned long', 'unsigned long']);
const cMmap = libc.func('void *mmap(void *at, size_t n, int prot, int flags, int fd, int64_t off)');
const cMunmap = libc.func('int munmap(uintptr_t at, size_t n)');
const cFallocate = libc.func('int posix_fallocate(int fd, int64_t off, int64_t len)');
const cFlock = libc.func('int flock(int fd, int operation)');
const cEpollCreate = libc.func('int epoll_create1(int flags)');
const cEpollCtl = libc.func('int epoll_ctl(int epoll, int what, int fd, uint8_t *event)');
const cEventfd = libc.func('int eventfd(unsigned int initial, int flags)');
const cSetns = libc.func('int setns(int fd, int kind)');
const cSocket = libc.func('int socket(int family, int type, int protocol)');
const cSetsockopt = libc.func('int setsockopt(int fd, int l, int name, uint8_t *v, uint32_t n)');
const cBind = libc.func('int bind(int fd, uint8_t *address, uint32_t n)');
const cListen = libc.func('int listen(int fd, int backlog)');
const cClose = libc.func('int close(int fd)');
const cDup3 = libc.func('int dup3(int from, int to, int flags)');

/**
 * read(2) into an address; the count, or -1 with `errno()`. Never blocks if the descriptor is
 * non-blocking.
 */
export const read: (fd: number, address: number, bytes: number) => number = libc.func(
  'int read(int fd, uintptr_t at, int n)',
);
/** write(2) from an address; the count, or -1 with `errno()`. */
export const write: (fd: number, address: number, bytes: number) => number = libc.func(
  'int write(int fd, uintptr_t at, int n)',
);
/** epoll_wait(2) into `count` events at an address; their number, or -1 with `errno()`. */
export const epollWait: (epoll: number, address: number, count: number, ms: number) => number =
  libc.func('int epoll_wait(int epoll, uintptr_t events, int n, int timeout)');

/** The last call's error number. */
export const errno: () => number = koffi.errno;

function must(call: string, object: string, result: number): number {
  if (result >= 0) return result;
  throw new SystemError(call, object, koffi.errno());
}

/** A failed system call; `errno` is the reason. */
export class SystemError extends KubetunError {
  readonly errno: number;
  constructor(call: string, object: string, number: number) {
    const name = Object.entries(koffi.os.errno).find(([, n]) => n === number)?.[0] ?? `${number}`;
    super(`KT_SYS_${name}`, `${call} ${object}: ${name}`, '');
    this.errno = number;
  }
}

/**
 * Opens read-write unless `readOnly`, and close-on-exec; `noFollow` refuses a symbolic link. Throws
 * SystemError.
 */
export function openFile(
  path: string,
  options: Partial<
    Record<'create' | 'nonblock' | 'noctty' | 'noFollow' | 'readOnly', boolean>
  > = {},
): number {
  const { create, nonblock, noctty, noFollow, readOnly } = options;
  const access = (readOnly ? O_RDONLY : O_RDWR) | (noFollow ? O_NOFOLLOW : 0) | O_CLOEXEC;
  const more = (create ? O_CREAT : 0) | (nonblock ? O_NONBLOCK : 0) | (noctty ? O_NOCTTY : 0);
  return must('open', path, cOpen(path, access | more, 0o600));
}

/** Makes a named pipe; the umask limits the mode. Throws SystemError. */
export function makeFifo(path: string, mode: number): void {
  must('mkfifo', path, cMkfifo(path, mode));
}

export function closeFile(fd: number): void {
  cClose(fd);
}

/** Makes descriptor `to` a copy of `from`, atomically for all threads. Throws SystemError. */
export function replaceFile(from: number, to: number): void {
  must('dup3', `${from} ${to}`, cDup3(from, to, O_CLOEXEC));
}

/** ioctl(2) with a struct; throws SystemError. */
export function ioctl(fd: number, request: number, argument: Uint8Array): void {
  must('ioctl', `0x${request.toString(16)}`, cIoctl(fd, request, argument));
}

/** ioctl(2) with a number in place of a pointer; throws SystemError. */
export function ioctlNumber(fd: number, request: number, argument: number): void {
  must('ioctl', `0x${request.toString(16)}`, cIoctlNumber(fd, request, argument));
}

/** Takes an exclusive lock without waiting; false if another process holds it. */
export function lockFile(fd: number): boolean {
  return cFlock(fd, LOCK_EX_NB) === 0;
}

/**
 * Reserves a file's bytes, so that a full tmpfs is an error now and not a SIGBUS later. Throws
 * SystemError.
 */
export function allocateFile(fd: number, bytes: number, path: string): void {
  const number = cFallocate(fd, 0, bytes);
  if (number !== 0) throw new SystemError('allocate', `${path} (${bytes} bytes)`, number);
}

/** A mapping and its address; one view per mapping, not to be used after `unmap`. */
export interface Mapping {
  buffer: ArrayBuffer;
  address: number;
  bytes: number;
}

function map(bytes: number, protection: number, flags: number, fd: number, what: string): Mapping {
  const at = cMmap(null, bytes, protection, flags, fd, 0) as bigint;
  if (at === MAP_FAILED) throw new SystemError('mmap', what, koffi.errno());
  return { buffer: koffi.view(at, bytes) as ArrayBuffer, address: Number(at), bytes };
}

/**
 * Maps a whole file. A write to a `read` mapping ends the process; one to a `private` mapping never
 * reaches the file. Throws SystemError.
 */
export function mapFile(
  fd: number,
  bytes: number,
  path: string,
  access: 'shared' | 'read' | 'private',
): Mapping {
  const protection = access === 'read' ? PROT_READ : PROT_READ | PROT_WRITE;
  return map(bytes, protection, access === 'private' ? MAP_PRIVATE : MAP_SHARED, fd, path);
}

/** Anonymous memory with a stable address, for packet buffers. Throws SystemError. */
export function mapMemory(bytes: number): Mapping {
  return map(bytes, PROT_READ | PROT_WRITE, MAP_SHARED_ANONYMOUS, -1, 'memory');
}

/**
 * A view of memory that another thread of this process has mapped; valid as long as that mapping.
 */
export function viewMemory(address: number, bytes: number): ArrayBuffer {
  return koffi.view(address, bytes) as ArrayBuffer;
}

/** Do not use its view, or those of other threads, afterwards. */
export function unmap(mapping: Mapping): void {
  cMunmap(mapping.address, mapping.bytes);
}

/**
 * A new pseudo-terminal of a devpts file system: its master and the path of its slave. Throws
 * SystemError.
 */
export function openPty(devpts: string): { master: number; path: string } {
  const master = openFile(`${devpts}/ptmx`, { noctty: true });
  const number = new Int32Array(1);
  const bytes = new Uint8Array(number.buffer);
  ioctl(master, TIOCSPTLCK, bytes);
  ioctl(master, TIOCGPTN, bytes);
  return { master, path: `${devpts}/${number[0]}` };
}

/** Sets the size of a terminal. Throws SystemError. */
export function resizePty(master: number, columns: number, rows: number): void {
  ioctl(master, TIOCSWINSZ, new Uint8Array(Uint16Array.of(rows, columns, 0, 0).buffer));
}

/** A new epoll set. */
export function openEpoll(): number {
  return must('epoll_create1', '', cEpollCreate(O_CLOEXEC));
}

/**
 * Adds, changes or removes (EPOLL_CTL_*) a descriptor of an epoll set, for input. 0, or the error
 * number.
 */
export function watchFile(epoll: number, what: number, fd: number, data: number): number {
  const event = new Uint8Array(EPOLL_EVENT_BYTES);
  const view = new DataView(event.buffer);
  view.setUint32(0, EPOLLIN, true);
  view.setInt32(EPOLL_EVENT_OFF_DATA, data, true);
  return cEpollCtl(epoll, what, fd, event) < 0 ? koffi.errno() : 0;
}

/** A non-blocking eventfd. */
export function eventfd(): number {
  return must('eventfd', '', cEventfd(0, EFD_FLAGS));
}

/** Moves only the calling thread into an open network namespace. Throws SystemError. */
export function setNetworkNamespace(fd: number, path: string): void {
  must('setns', path, cSetns(fd, CLONE_NEWNET));
}

/** A non-blocking IPv4 TCP socket in the calling thread's network namespace; its descriptor. */
export function openTcp(name: string): number {
  return must('socket', name, cSocket(AF_INET, SOCK_STREAM_FLAGS, 0));
}

/**
 * A non-blocking netlink socket of the calling thread's network namespace; its descriptor. Throws
 * SystemError.
 *
 * @param groups multicast groups to hear, as a mask: bit n - 1 is group n.
 */
export function openNetlink(protocol: number, groups: number): number {
  const fd = must('socket', 'netlink', cSocket(AF_NETLINK, SOCK_RAW_FLAGS, protocol));
  const at = new Uint8Array(12); // struct sockaddr_nl
  const view = new DataView(at.buffer);
  view.setUint16(0, AF_NETLINK, true);
  view.setUint32(8, groups, true);
  return closeUnless(fd, () => must('bind', 'netlink', cBind(fd, at, at.length)));
}

/**
 * A listening, non-blocking IPv4 TCP socket in the calling thread's network namespace, as a
 * descriptor.
 */
export function listenTcp(address: readonly number[], port: number): number {
  const name = `${address.join('.')}:${port}`;
  const fd = openTcp(name);
  const one = new Uint8Array([1, 0, 0, 0]);
  const at = new Uint8Array(16); // struct sockaddr_in
  at.set([AF_INET, 0, port >> 8, port & 255, ...address]);
  return closeUnless(fd, () => {
    must('setsockopt', name, cSetsockopt(fd, SOL_SOCKET, SO_REUSEADDR, one, one.length));
    must('bind', name, cBind(fd, at, at.length));
    must('listen', name, cListen(fd, 1024));
  });
}

/** The descriptor; closed if `work` throws. */
function closeUnless(fd: number, work: () => void): number {
  try {
    work();
    return fd;
  } catch (error) {
    cClose(fd);
    throw error;
  }
}
