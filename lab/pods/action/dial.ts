import { Socket } from 'node:net';
import { openInNamespace } from '../../../datapath/io/netns.ts';

/**
 * Dials an IPv4 address from another network namespace. The socket is made there and stays there,
 * so no process and no thread has to. Throws SystemError if the namespace is gone; all else is told
 * by the socket's `error`.
 */
export function dialInNamespace(path: string, address: string, port: number): Socket {
  // Reading begins when it is connected, as with any socket.
  const socket = new Socket({ fd: openInNamespace(path), manualStart: true } as object);
  return socket.connect({ host: address, port });
}
