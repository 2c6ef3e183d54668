import assert from 'node:assert/strict';
import { test } from 'node:test';
import { constants, deflateSync } from 'node:zlib';
import { SpdyConnection } from '../../../../../lab/pods/stream/spdy.ts';
import { DICTIONARY } from '../../../../../lab/pods/stream/spdy-dictionary.ts';

/** A connection, its output, and its events. */
function connection() {
  const sent: Buffer[] = [];
  const told: string[] = [];
  const spdy = new SpdyConnection((bytes) => sent.push(bytes), {
    onStream: (id, headers) => void told.push(`open ${id} ${[...headers].join(' ')}`),
    onData: (id, bytes, ended) => void told.push(`data ${id} ${bytes}${ended ? ' end' : ''}`),
    onReset: (id) => void told.push(`reset ${id}`),
    onEnd: () => void told.push('end'),
  });
  return { spdy, sent, told };
}

function frame(first: number, second: number, body: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(first, 0);
  header.writeUInt32BE(second + body.length, 4);
  return Buffer.concat([header, body]);
}

const control = (type: number, body: Buffer, flags = 0) =>
  frame(0x80030000 + type, flags * 2 ** 24, body);
const data = (id: number, text: string, flags = 0) => frame(id, flags * 2 ** 24, Buffer.from(text));

/** A SYN_STREAM, the first of its connection: later ones would continue the compression. */
function open(id: number, headers: Record<string, string>): Buffer {
  const text = (value: string) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(value.length);
    return Buffer.concat([length, Buffer.from(value)]);
  };
  const pairs = Object.entries(headers);
  const count = Buffer.alloc(4);
  count.writeUInt32BE(pairs.length);
  const block = Buffer.concat([count, ...pairs.flatMap((pair) => pair.map(text))]);
  const packed = deflateSync(block, {
    dictionary: DICTIONARY,
    finishFlush: constants.Z_SYNC_FLUSH,
  });
  const start = Buffer.alloc(10);
  start.writeUInt32BE(id, 0);
  return control(1, Buffer.concat([start, packed]));
}

test('opens a stream and delivers its data and end in order', async () => {
  const { spdy, sent, told } = connection();
  await spdy.receive(open(1, { Streamtype: 'data', Port: '80' }));
  await spdy.receive(Buffer.concat([data(1, 'one'), data(1, 'two', 1)]));
  assert.deepEqual(told, ['open 1 streamtype,data port,80', 'data 1 one', 'data 1 two end']);
  const [reply] = sent;
  assert.equal(reply?.readUInt32BE(0), 0x80030002);
  assert.equal(reply?.readUInt32BE(8), 1);
});

test('accepts frames in any pieces', async () => {
  const { spdy, told } = connection();
  const bytes = Buffer.concat([open(1, { port: '80' }), data(1, 'hello'), data(1, 'x', 1)]);
  for (const byte of bytes) await spdy.receive(Buffer.of(byte));
  assert.deepEqual(told, ['open 1 port,80', 'data 1 hello', 'data 1 x end']);
});

test('encodes frames of data, resets and ping replies', async () => {
  const { spdy, sent } = connection();
  spdy.sendData(3, Buffer.from('abc'), true);
  spdy.reset(3);
  await spdy.receive(control(6, Buffer.from([0, 0, 0, 7])));
  assert.deepEqual(
    sent.map((bytes) => bytes.toString('hex')),
    ['0000000301000003616263', '80030003000000080000000300000006', '800300060000000400000007'],
  );
});

for (const [what, bytes] of [
  ['a frame that is longer than any', Buffer.from('0000000100ffffff', 'hex')],
  ['headers that are not a zlib stream', control(1, Buffer.alloc(40, 0xab))],
  ['a stream frame that is cut short', control(1, Buffer.alloc(4))],
  ['a GOAWAY frame', control(7, Buffer.alloc(8))],
] as const) {
  test(`${what} ends the connection, once`, async () => {
    const { spdy, told } = connection();
    await spdy.receive(bytes);
    await spdy.receive(data(1, 'more'));
    assert.deepEqual(told, ['end']);
  });
}
