import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PORTS_MAX } from '../../../../datapath/pipeline/batch.ts';
import { KIND_POD, PORT_TABLE_BYTES, PortTable } from '../../../../datapath/worker/port-table.ts';

test('two views of one table: entries, versions and acknowledgements', () => {
  const memory = new ArrayBuffer(PORT_TABLE_BYTES);
  const writer = new PortTable(memory);
  const reader = new PortTable(memory);
  assert.equal(reader.version, 0);
  for (const port of [0, 1, PORTS_MAX - 1]) {
    const entry = { kind: KIND_POD, fd: port + 10, address: 7 - port, links: port - 1 };
    writer.set(port, entry);
    assert.deepEqual(reader.entryOf(port), entry);
  }
  assert.equal(reader.version, 3);
  assert.deepEqual(
    [0, 1, 2].map((port) => reader.serialOf(port) !== 0),
    [true, true, false],
  );
  const before = reader.serialOf(1);
  const version = writer.clear(1);
  assert.deepEqual([version, reader.version, reader.serialOf(1)], [4, 4, 0]);
  assert.equal(writer.acknowledged, 0);
  reader.acknowledge(version);
  assert.equal(writer.acknowledged, version);
  writer.set(1, { kind: KIND_POD, fd: 11, address: 1, links: -1 });
  assert.notEqual(reader.serialOf(1), before, 'the next port of the number is another one');
});
