import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { EVENTS_MAX, POLL_SET_BYTES, PollSet } from '../../../../datapath/io/poll.ts';
import {
  closeFile,
  eventfd,
  mapMemory,
  openEpoll,
  unmap,
  write,
} from '../../../../datapath/io/sys.ts';

const undo: (() => void)[] = [];
afterEach(() => {
  for (const step of undo.splice(0)) step();
});
function fd(open: () => number): number {
  const number = open();
  undo.push(() => closeFile(number));
  return number;
}

/** A set over this many eventfds in place of devices. */
function setOf(devices: number) {
  const memory = mapMemory(POLL_SET_BYTES);
  const one = mapMemory(8);
  undo.push(
    () => unmap(memory),
    () => unmap(one),
  );
  new BigInt64Array(one.buffer)[0] = 1n;
  const epoll = fd(openEpoll);
  const wake = fd(eventfd);
  const set = new PollSet(memory.address, epoll, wake);
  const files = Array.from({ length: devices }, () => fd(eventfd));
  for (const [n, file] of files.entries()) set.add(n, file);
  const into = new Int32Array(EVENTS_MAX);
  const ready = () => [...into.subarray(0, set.wait(into, 0))].sort((a, b) => a - b);
  return { set, files, ready, signal: (file: number) => write(file, one.address, 8), wake };
}

test('names the devices that have something to read, and wakes for the eventfd alone', () => {
  const { set, files, ready, signal, wake } = setOf(3);
  assert.deepEqual(ready(), []);
  signal(files[2]!);
  signal(files[0]!);
  assert.deepEqual(ready(), [0, 2]);
  assert.deepEqual(ready(), [0, 2], 'until they are read');
  signal(wake);
  assert.deepEqual(ready(), [0, 2], 'the eventfd is no device');
  assert.ok(set.isWoken);
  ready();
  assert.ok(!set.isWoken, 'it has been read');
});

test('ignores a removed device, and watches it again when it is added', () => {
  const { set, files, ready, signal } = setOf(2);
  signal(files[1]!);
  set.remove(files[1]!);
  assert.deepEqual(ready(), []);
  set.add(7, files[1]!);
  assert.deepEqual(ready(), [7]);
  set.add(8, files[1]!);
  assert.deepEqual(ready(), [8], 'under its new number');
});

test('more devices than one call takes: each is named within the calls that they need', () => {
  const devices = EVENTS_MAX + 100;
  const { set, files, signal } = setOf(devices);
  for (const file of files) signal(file);
  const into = new Int32Array(EVENTS_MAX);
  const seen = new Set<number>();
  for (let calls = 0; calls < 2; calls++) {
    for (const number of into.subarray(0, set.wait(into, 0))) seen.add(number);
  }
  assert.equal(seen.size, devices);
});
