// Sends rows of the table by one curl.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Running } from '../lab.ts';
import type { Seen } from './backend.ts';
import type { Line, Row } from './table.ts';

export interface Answer {
  status: number;
  version: string;
  /** Names in lower case. */
  headers: Record<string, string>;
  body: string;
  /** The common name of the server's certificate; '' without TLS. */
  subject: string;
  error: string;
}

export interface Sender {
  /** The address of the load balancer. */
  address: string;
  /** Of the place where curl runs. */
  client: string;
  start(command: string[]): Running;
  /** PEM of certificates by Secret. */
  certificates: Record<string, string>;
}

const TIMEOUT_S = 10;
/** Before each result in curl's output. */
const MARK = '#!#';

/** One answer for each line, in order. */
export async function send(lines: Line[], sender: Sender): Promise<Answer[]> {
  const folder = mkdtempSync(join(tmpdir(), 'kubetun-curl-'));
  try {
    for (const [secret, pem] of Object.entries(sender.certificates)) {
      writeFileSync(join(folder, `${secret}.pem`), pem);
    }
    const answers: Answer[] = [];
    await Promise.all(
      sharesOf(lines).map(async (share) => {
        const config = share.map((i) => transfer(lines[i]!, i, folder, sender.address));
        const { child, done } = sender.start(['curl', '-sS', '-K', '-']);
        child.stdin!.end(config.join('next\n'));
        const { stdout, stderr } = await done;
        const parts = stdout.split(MARK).slice(1);
        assert.equal(parts.length, share.length, stderr);
        for (const [k, i] of share.entries()) answers[i] = readAnswer(parts[k]!, i, folder);
      }),
    );
    return answers;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Lines that go into one curl. Those of TLS and HTTP/2 need a connection of their own. */
function sharesOf(lines: Line[]): number[][] {
  const isPlain = ([url, row]: Line) => !url.startsWith('https') && !row.http2;
  const all = lines.map((_, i) => i);
  const plain = all.filter((i) => isPlain(lines[i]!));
  const own = all.filter((i) => !isPlain(lines[i]!)).map((i) => [i]);
  return plain.length > 0 ? [plain, ...own] : own;
}

function transfer([url, row]: Line, i: number, folder: string, address: string): string {
  const target = url.replace('ADDRESS', address);
  const version = row.http2
    ? url.startsWith('https')
      ? 'http2'
      : 'http2-prior-knowledge'
    : 'http1.1';
  const lines = [
    ...[`url = "${target}"`, `connect-to = "::${address}:"`, version, 'path-as-is', 'globoff'],
    ...['silent', 'show-error', `max-time = ${TIMEOUT_S}`],
    row.method === 'HEAD' ? 'head' : `request = "${row.method ?? 'GET'}"`,
    ...(row.headers ?? []).map((header) => `header = "${header}"`),
    row.secret === undefined ? 'insecure' : `cacert = "${folder}/${row.secret}.pem"`,
    `dump-header = "${folder}/${i}.head"`,
    `output = "${folder}/${i}.body"`,
    `write-out = "${MARK}%{http_code}\\n%{http_version}\\n%{errormsg}\\n%{certs}"`,
  ];
  return `${lines.join('\n')}\n`;
}

function readAnswer(text: string, i: number, folder: string): Answer {
  const [status, version = '', error = '', ...certificates] = text.split('\n');
  const [, subject = ''] = /^Subject:.*CN ?= ?([^\n,]+)/m.exec(certificates.join('\n')) ?? [];
  const head = readOr(join(folder, `${i}.head`))
    .split('\r\n')
    .slice(1);
  const headers = head.filter(Boolean).map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  const body = readOr(join(folder, `${i}.body`));
  return {
    status: Number(status),
    version,
    headers: Object.fromEntries(headers),
    body,
    subject,
    error,
  };
}

function readOr(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Fails unless an answer is that of its row. */
export function check([url, row]: Line, found: Answer, sender: Sender): void {
  const what = `${row.method ?? 'GET'} ${url} ${row.headers ?? ''}`;
  assert.equal(found.error, '', what);
  assert.equal(found.status, row.status, what);
  if (row.http2) assert.equal(found.version, '2', what);
  if (row.subject !== undefined) assert.equal(found.subject, row.subject, what);
  for (const [name, value] of Object.entries(row.answer ?? {})) {
    if (value instanceof RegExp) assert.match(found.headers[name] ?? '', value, what);
    else assert.equal(found.headers[name] ?? null, value, what);
  }
  if (row.backend === undefined) assert.ok(!isEcho(found.body), `${what}: a backend answered`);
  else if (row.method !== 'HEAD')
    checkSeen(what, url.replace('ADDRESS', sender.address), row, found, sender);
}

function isEcho(body: string): boolean {
  return body.startsWith('{"backend"');
}

function checkSeen(what: string, url: string, row: Row, found: Answer, sender: Sender): void {
  assert.ok(isEcho(found.body), `${what}: ${found.body.slice(0, 200)}`);
  const seen = JSON.parse(found.body) as Seen;
  const { host, path } = /^https?:\/\/(?<host>[^/]*)(?<path>.*)$/.exec(url)!.groups!;
  assert.deepEqual(
    { backend: seen.backend, method: seen.method, path: seen.path, host: seen.host },
    { backend: row.backend, method: row.method ?? 'GET', path, host: row.host ?? host },
    what,
  );
  for (const [name, value] of Object.entries(row.seen ?? {})) {
    const expected = value === 'CLIENT' ? sender.client : value;
    assert.equal(seen.headers[name] ?? null, expected, `${what}: ${name}`);
  }
}
