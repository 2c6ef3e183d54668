import {
  EEXIST,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLL_EVENT_BYTES,
  EPOLL_EVENT_OFF_DATA,
  epollWait,
  read,
  viewMemory,
  watchFile,
} from './sys.ts';

/** Events taken at once. Others stay for the next call: the kernel rotates its list. */
export const EVENTS_MAX = 256;
const EVENT_WORDS = EPOLL_EVENT_BYTES / 4;
const DATA_WORD = EPOLL_EVENT_OFF_DATA / 4;
/** Data of the eventfd, which is no device's number. */
const WAKE = -1;
const EVENTFD_BYTES = 8;

/** Memory of a PollSet: room for an eventfd's value, then the events. */
export const POLL_SET_BYTES = EVENTFD_BYTES + EVENTS_MAX * EPOLL_EVENT_BYTES;

/** Devices on which a thread sleeps, by number, and the eventfd that wakes it. */
export class PollSet {
  readonly #at: number;
  readonly #epoll: number;
  readonly #wakeFd: number;
  readonly #events: Int32Array;
  /** The last call of `wait` found the eventfd written. */
  isWoken = false;

  /** @param at address of POLL_SET_BYTES, a multiple of 8. */
  constructor(at: number, epoll: number, wakeFd: number) {
    this.#at = at;
    this.#epoll = epoll;
    this.#wakeFd = wakeFd;
    const bytes = EVENTS_MAX * EPOLL_EVENT_BYTES;
    this.#events = new Int32Array(viewMemory(at + EVENTFD_BYTES, bytes));
    this.add(WAKE, wakeFd);
  }

  /** Watches a device. One that has been deleted, or that is watched already, is no error. */
  add(number: number, fd: number): void {
    const error = watchFile(this.#epoll, EPOLL_CTL_ADD, fd, number);
    if (error === EEXIST) watchFile(this.#epoll, EPOLL_CTL_MOD, fd, number);
  }

  /** Ignores a device: a deleted one would end every sleep at once. */
  remove(fd: number): void {
    watchFile(this.#epoll, EPOLL_CTL_DEL, fd, 0);
  }

  /**
   * Sleeps until a device has a packet, the eventfd is written, or `ms` have passed. Puts the
   * numbers of devices with packets into `into`, which has EVENTS_MAX words, and returns their
   * count.
   */
  wait(into: Int32Array, ms: number): number {
    const events = this.#events;
    const count = epollWait(this.#epoll, this.#at + EVENTFD_BYTES, EVENTS_MAX, ms);
    this.isWoken = false;
    let devices = 0;
    for (let n = 0; n < count; n++) {
      const number = events[n * EVENT_WORDS + DATA_WORD]!;
      if (number !== WAKE) into[devices++] = number;
      else {
        this.isWoken = true;
        read(this.#wakeFd, this.#at, EVENTFD_BYTES);
      }
    }
    return devices;
  }
}
