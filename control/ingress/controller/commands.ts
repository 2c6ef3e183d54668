// Changes of a running HAProxy as commands on its socket.
import { KubetunError } from '../../../datapath/error.ts';
import { COOKIE_KEY, FILES } from '../config.ts';
import { type Change, PAYLOAD_BYTES_MAX } from './difference.ts';

/** Sends a command to a process of HAProxy and returns its answer. */
export type Ask = (command: string, payload?: string) => Promise<string>;

export interface CommandContext {
  ask: Ask;
  /** The path of a file, as the configuration names it. */
  pathOf: (name: string) => string;
}

/** Answers of commands that have succeeded. The others answer with nothing. */
const ADDED = /^New server registered/;
const STORED = /^New empty certificate store/;
const SET = /^Transaction (?:created|updated)/;
const DONE = /Success!$/;
const DELETED = /deleted/;
const VERSION = /^New version created: (\d+)$/;
const NOTHING = /^$/;

/** Rejects with KubetunError KT_HAPROXY_REFUSED, and the rest of the changes stays undone. */
export async function carryOut(change: Change, context: CommandContext): Promise<void> {
  const { pathOf } = context;
  const ask: Expect = (command, expected, payload) =>
    askFor(context.ask, command, expected, payload);
  switch (change.kind) {
    case 'add-server':
    case 'bring-server':
    case 'leave-server':
      for (const [command, expected] of serverCommands(change)) await ask(command, expected);
      return;
    case 'map':
      return replaceMap(pathOf(change.name), change.text, ask);
    case 'new-certificate':
    case 'set-certificate': {
      const path = pathOf(change.name);
      if (change.kind === 'new-certificate') await ask(`new ssl cert ${path}`, STORED);
      await ask(`set ssl cert ${path}`, SET, change.text);
      await ask(`commit ssl cert ${path}`, DONE);
      return;
    }
    case 'delete-certificate':
      await ask(`del ssl cert ${pathOf(change.name)}`, DELETED);
      return;
    case 'list-certificate':
      return replaceLines(context, change.path, change.lines, ask);
  }
}

type Expect = (command: string, expected: RegExp, payload?: string) => Promise<string>;

async function askFor(
  ask: Ask,
  command: string,
  expected: RegExp,
  payload?: string,
): Promise<string> {
  const answer = await ask(command, payload);
  if (expected.test(answer)) return answer;
  const what = `HAProxy has answered ${JSON.stringify(command)} with ${JSON.stringify(answer)}`;
  throw new KubetunError('KT_HAPROXY_REFUSED', what, 'the controller reloads it instead');
}

type ServerChange = Extract<Change, { server: string }>;

/** The commands of a change of a server, with their answers. */
function serverCommands({ kind, server, spec }: ServerChange): [string, RegExp][] {
  const bring: [string, RegExp] = [`set server ${server} state ready`, NOTHING];
  if (kind === 'add-server') {
    // A server that is added has no cookie value until the key of its backend is set again.
    const backend = server.split('/')[0]!;
    const key: [string, RegExp] = [
      `set dynamic-cookie-key backend ${backend} ${COOKIE_KEY}`,
      NOTHING,
    ];
    return [[`add server ${server} ${spec}`, ADDED], key, bring];
  }
  if (kind === 'bring-server') return [bring];
  // Connections to the server go on.
  return [[`set server ${server} state maint`, NOTHING]];
}

/** Readers see the old lines until the last command. */
async function replaceMap(path: string, text: string, ask: Expect): Promise<void> {
  const [, version] = VERSION.exec(await ask(`prepare map ${path}`, VERSION))!;
  for (const part of inParts(text)) await ask(`add map @${version} ${path}`, NOTHING, part);
  await ask(`commit map @${version} ${path}`, NOTHING);
}

/** Whole lines of at most PAYLOAD_BYTES_MAX bytes together. */
function inParts(text: string): string[] {
  const parts: string[] = [];
  let part = '';
  for (const line of text.split('\n').filter(Boolean)) {
    if (part !== '' && Buffer.byteLength(part) + Buffer.byteLength(line) > PAYLOAD_BYTES_MAX) {
      parts.push(part);
      part = '';
    }
    part += `${line}\n`;
  }
  return part === '' ? parts : [...parts, part];
}

/** New lines come first, so that the certificate is listed at any time. */
async function replaceLines(
  context: CommandContext,
  path: string,
  lines: string[],
  ask: Expect,
): Promise<void> {
  const list = context.pathOf(FILES.certificates);
  const listed = await context.ask(`show ssl crt-list -n ${list}`);
  const old = listed
    .split('\n')
    .map((line) => line.split(' ')[0]!)
    .filter((place) => place.slice(0, place.lastIndexOf(':')) === path);
  for (const line of lines) await ask(`add ssl crt-list ${list}`, DONE, `${path} ${line}`);
  for (const place of old) await ask(`del ssl crt-list ${list} ${place}`, DELETED);
}

/** True if no connection is left and the server is gone. */
export async function deleteServer(ask: Ask, server: string): Promise<boolean> {
  const answer = await ask(`del server ${server}`);
  return /deleted/.test(answer) || /^No such server/.test(answer);
}
