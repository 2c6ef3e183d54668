// Frames of HTTP/2 as bytes in a latin1 string. A library refuses to send what tests send.
// Sources: RFC 9113 sections 4 and 6, RFC 7541 section 6.2.2.

export type Field = [name: string, value: string];

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const [DATA, HEADERS, SETTINGS] = [0, 1, 4];
const END_STREAM = 1;
const END_HEADERS = 4;
const INT7_MAX = 127;

function frame(type: number, flags: number, stream: number, payload: string): string {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.set([type, flags], 3);
  head.writeUInt32BE(stream, 5);
  return head.toString('latin1') + payload;
}

/** A string without Huffman coding. */
function literal(text: string): string {
  if (text.length < INT7_MAX) return String.fromCharCode(text.length) + text;
  let rest = text.length - INT7_MAX;
  let length = String.fromCharCode(INT7_MAX);
  for (; rest > INT7_MAX; rest >>= 7) length += String.fromCharCode((rest & INT7_MAX) | 128);
  return length + String.fromCharCode(rest) + text;
}

/** A connection with one request. */
export function h2Request(fields: Field[], body: string): string {
  const block = fields.map(([name, value]) => `\0${literal(name)}${literal(value)}`).join('');
  const flags = END_HEADERS | (body === '' ? END_STREAM : 0);
  const start = PREFACE + frame(SETTINGS, 0, 0, '') + frame(HEADERS, flags, 1, block);
  return body === '' ? start : start + frame(DATA, END_STREAM, 1, body);
}
