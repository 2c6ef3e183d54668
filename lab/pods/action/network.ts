// Network actions of probes and hooks. They come from the node, as a kubelet's do.
import { get as getHttp, type RequestOptions } from 'node:http';
import { get as getHttps } from 'node:https';
import { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Container, Probe } from '../../../control/kube/kinds.ts';
import { openInNamespace } from '../../../datapath/io/netns.ts';
import { parseAddress } from '../../../datapath/wire/address.ts';
import { AWAITING_HEADERS, DEADLINE, dialTimeout, reasonOf } from './failure.ts';

/** Result of an action. */
export interface ActionResult {
  good: boolean;
  output: string;
}

/** How to dial, and the default target. */
export interface Dialer {
  /** Dials from the node. */
  dial: (address: string, port: number) => Socket;
  podIP: string;
  container: Container;
}

type HttpGet = NonNullable<Probe['httpGet']>;
type TcpSocket = NonNullable<Probe['tcpSocket']>;

export const USER_AGENT = 'kube-probe/1.34';

/**
 * Good if the server answers with a status from 200 to 399. Follows no redirect. Never rejects.
 * Source: pkg/probe/http.
 */
export function httpGet(action: HttpGet, dialer: Dialer, timeoutMs: number): Promise<ActionResult> {
  const { scheme = 'HTTP', path = '/', httpHeaders = [] } = action;
  const target = path.startsWith('/') ? path : `/${path}`;
  const words: Words = {
    failed: (at, why) => `Get "${scheme.toLowerCase()}://${at}${target}": ${why}`,
    late: (at, isConnected) =>
      words.failed(at, `${isConnected ? DEADLINE : dialTimeout(at)} ${AWAITING_HEADERS}`),
  };
  return dialing(action, dialer, { timeoutMs, words }, (socket, at, settle) => {
    const tls = scheme === 'HTTPS';
    const stream = tls ? connectTls({ socket, rejectUnauthorized: false }) : socket;
    const fail = (error: Error) => settle(bad(words.failed(at, reasonOf(error, at))));
    for (const each of new Set([socket, stream])) each.on('error', fail);
    const options: RequestOptions = {
      createConnection: () => stream,
      headers: headersOf(httpHeaders, at),
      path: target,
    };
    // Only the status counts. The body is not read.
    const request = (tls ? getHttps : getHttp)(options, ({ statusCode = 0 }) =>
      settle(resultOf(statusCode)),
    );
    request.on('error', fail);
  });
}

/** Good if the connection is accepted. Never rejects. Source: pkg/probe/tcp. */
export function tcpSocket(
  action: TcpSocket,
  dialer: Dialer,
  timeoutMs: number,
): Promise<ActionResult> {
  const words: Words = { failed: (_at, why) => why, late: dialTimeout };
  return dialing(action, dialer, { timeoutMs, words }, (socket, at, settle) => {
    socket.on('error', (error) => settle(bad(reasonOf(error, at))));
    socket.once('connect', () => settle({ good: true, output: '' }));
  });
}

/** How a kind of action words its failures. `at` is `address:port`. */
export interface Words {
  failed: (at: string, why: string) => string;
  late: (at: string, isConnected: boolean) => string;
}

/**
 * Dials and passes the socket to `use`. Destroys the socket when `use` settles or the time is over.
 */
export function dialing(
  { host, port: wanted }: { host?: string; port: number | string },
  { dial, podIP, container }: Dialer,
  { timeoutMs, words }: { timeoutMs: number; words: Words },
  use: (socket: Socket, at: string, settle: (result: ActionResult) => void) => void,
): Promise<ActionResult> {
  const port = resolvePort(wanted, container);
  if (port === null) return Promise.resolve(bad(`container has no port ${wanted}`));
  const address = host === 'localhost' ? '127.0.0.1' : host || podIP;
  if (parseAddress(address) === null) {
    return Promise.resolve(bad(`host ${address} is not an IPv4 address`));
  }
  const at = `${address}:${port}`;
  return new Promise((resolve) => {
    let socket: Socket | null = null;
    let isConnected = false;
    const settle = (result: ActionResult) => {
      clearTimeout(timer);
      socket?.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => settle(bad(words.late(at, isConnected))), timeoutMs);
    try {
      socket = dial(address, port);
      socket.once('connect', () => {
        isConnected = true;
      });
      use(socket, at, settle);
    } catch (error) {
      settle(bad(words.failed(at, reasonOf(error as Error, at))));
    }
  });
}

function headersOf(given: { name: string; value: string }[], host: string) {
  const headers: Record<string, string | string[]> = {
    host,
    'user-agent': USER_AGENT,
    accept: '*/*',
    connection: 'close',
  };
  for (const { name, value } of given) {
    const key = name.toLowerCase();
    if (value === '' && (key === 'accept' || key === 'user-agent')) delete headers[key];
    else headers[key] = value;
  }
  return headers;
}

function resultOf(status: number): ActionResult {
  if (status >= 200 && status < 400) return { good: true, output: '' };
  return bad(`HTTP probe failed with statuscode: ${status}`);
}

/** A failed action with the reason. */
export function bad(output: string): ActionResult {
  return { good: false, output };
}

/**
 * Dials an IPv4 address from another network namespace. Only the socket is made in that namespace.
 * No process or thread moves there. Throws SystemError if the namespace is gone. Other failures
 * arrive as the socket's `error` event.
 */
export function dialInNamespace(path: string, address: string, port: number): Socket {
  // Reading starts once the socket is connected.
  const socket = new Socket({ fd: openInNamespace(path), manualStart: true } as object);
  return socket.connect({ host: address, port });
}

/**
 * The port of a probe or a hook, given as a number or as the name of a container port. Null if
 * there is no such port.
 */
export function resolvePort(port: number | string, container: Container): number | null {
  const number =
    typeof port === 'number' || /^\d+$/.test(port)
      ? Number(port)
      : container.ports?.find(({ name }) => name === port)?.containerPort;
  return number !== undefined && number > 0 && number < 65_536 ? number : null;
}
