// Compares the whole TCP table with Linux 6.x net/netfilter/nf_conntrack_proto_tcp.c.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  MOVE_IGNORE,
  MOVE_NONE,
  MOVE_REOPEN,
  moveTcp,
  STATE_CLOSE,
  STATE_CLOSE_WAIT,
  STATE_ESTABLISHED,
  STATE_FIN_WAIT,
  STATE_LAST_ACK,
  STATE_NAMES,
  STATE_NONE,
  STATE_SYN_RECV,
  STATE_SYN_SENT,
  STATE_SYN_SENT2,
  STATE_TIME_WAIT,
  TCP_FLAGS_VALID,
} from '../../../../datapath/flow/state.ts';
import { ACK, FIN, RST, SYN } from '../../../support/packets.ts';

const URG = 32;
const COLUMNS = ['sNO', 'sSS', 'sSR', 'sES', 'sFW', 'sCW', 'sLA', 'sTW', 'sCL', 'sS2'];
const STATES = [
  STATE_NONE,
  STATE_SYN_SENT,
  STATE_SYN_RECV,
  STATE_ESTABLISHED,
  STATE_FIN_WAIT,
  STATE_CLOSE_WAIT,
  STATE_LAST_ACK,
  STATE_TIME_WAIT,
  STATE_CLOSE,
  STATE_SYN_SENT2,
];

// Rows copied from the kernel. There sIV is invalid and sIG ignored; neither changes the state.
const ORIGINAL: [string, number, string][] = [
  ['syn', SYN, 'sSS sSS sIG sIG sIG sIG sIG sSS sSS sS2'],
  ['synack', SYN | ACK, 'sIV sIV sSR sIV sIV sIV sIV sIV sIV sSR'],
  ['fin', FIN | ACK, 'sIV sIV sFW sFW sLA sLA sLA sTW sCL sIV'],
  ['ack', ACK, 'sES sIV sES sES sCW sCW sTW sTW sCL sIV'],
  ['rst', RST, 'sIV sCL sCL sCL sCL sCL sCL sCL sCL sCL'],
];
const REPLY: [string, number, string][] = [
  ['syn', SYN, 'sIV sS2 sIV sIV sIV sIV sIV sSS sIV sS2'],
  ['synack', SYN | ACK, 'sIV sSR sIG sIG sIG sIG sIG sIG sIG sSR'],
  ['fin', FIN | ACK, 'sIV sIV sFW sFW sLA sLA sLA sTW sCL sIV'],
  ['ack', ACK, 'sIV sIG sSR sES sCW sCW sTW sTW sCL sIG'],
  ['rst', RST, 'sIV sCL sCL sCL sCL sCL sCL sCL sCL sCL'],
];

/** The kernel's cell in this table's terms: a SYN over a closed connection may open a new one. */
function expected(cell: string, column: string): number {
  if (cell === 'sIV') return MOVE_NONE;
  if (cell === 'sIG') return MOVE_IGNORE;
  if (cell === 'sSS' && (column === 'sTW' || column === 'sCL')) return MOVE_REOPEN;
  return STATES[COLUMNS.indexOf(cell)]!;
}

for (const [direction, rows] of [ORIGINAL, REPLY].entries()) {
  for (const [name, flags, cells] of rows) {
    test(`${name} ${direction ? 'in reply' : 'from the client'} moves as in the kernel`, () => {
      for (const [i, cell] of cells.split(' ').entries()) {
        const move = moveTcp(STATES[i]!, flags, direction);
        assert.equal(move, expected(cell, COLUMNS[i]!), `${COLUMNS[i]}: expected ${cell}`);
      }
    });
  }
}

test('the move ignores PSH and URG, and ACK next to RST or FIN', () => {
  for (const state of STATES) {
    for (const direction of [0, 1]) {
      const move = (flags: number) => moveTcp(state, flags, direction);
      assert.equal(move(ACK | 8 | URG), move(ACK));
      assert.equal(move(RST | ACK), move(RST));
      assert.equal(move(FIN), move(FIN | ACK));
    }
  }
});

test('the ten TCP states are numbered by the columns of the table', () => {
  assert.deepEqual(STATES, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.equal(STATE_NAMES[STATE_SYN_SENT2], 'SYN_SENT2');
});

test("the same TCP flags are valid as in the kernel's tcp_valid_flags, also with URG", () => {
  const valid = [
    SYN,
    SYN | URG,
    SYN | ACK,
    RST,
    RST | ACK,
    FIN | ACK,
    FIN | ACK | URG,
    ACK,
    ACK | URG,
  ];
  for (let flags = 0; flags < 64; flags++) {
    assert.equal(TCP_FLAGS_VALID[flags], valid.includes(flags) ? 1 : 0, `flags ${flags}`);
  }
});
