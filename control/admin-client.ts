import { request } from 'node:http';
import { KubetunError } from '../datapath/error.ts';
import type { ProxyKind } from './agent-options.ts';
import { arenaOf, labFlag, nodesOf, socketOf, stateDir } from './places.ts';

/** Longest wait for an answer. An agent answers from memory. */
const ANSWER_MS_MAX = 3000;

/** Gets a path of an agent's admin socket. Throws KubetunError KT_AGENT_SILENT. */
export function askAgent<T>(lab: string, node: string, path: string): Promise<T> {
  return call(lab, node, { method: 'GET', path }, '');
}

/**
 * Sends an agent a request for a change: a path of its admin socket with a method and a body.
 * Throws KubetunError KT_AGENT_SILENT, also if the agent refuses.
 */
export function tellAgent<T>(
  lab: string,
  node: string,
  to: { method: 'POST' | 'DELETE'; path: string },
  body: object,
): Promise<T> {
  return call(lab, node, to, JSON.stringify(body));
}

function call<T>(
  lab: string,
  node: string,
  { method, path }: { method: string; path: string },
  body: string,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException) => {
      const next =
        error.code === 'EACCES' ? 'run this as root' : `see ${stateDir(lab)}/agents/${node}.log`;
      const message = `the agent of ${node} ${faultOf(error)}`;
      reject(new KubetunError('KT_AGENT_SILENT', message, next, { cause: error }));
    };
    // A connection is not reused, because the agent may be closing it. Node does not send the
    // length of a DELETE's body by itself.
    const headers = { 'content-length': Buffer.byteLength(body) };
    const to = { socketPath: socketOf(lab, node), method, path, headers, agent: false };
    const call = request(to, async (response) => {
      try {
        response.setEncoding('utf8');
        let text = '';
        for await (const chunk of response) text += chunk;
        const answer = JSON.parse(text) as T;
        const { statusCode = 0 } = response;
        if (statusCode === 500 || (statusCode === 404 && method !== 'GET')) {
          throw new Error((answer as { error: string }).error);
        }
        resolve(answer);
      } catch (error) {
        fail(error as Error);
      }
    });
    call.setTimeout(ANSWER_MS_MAX, () => {
      // Set before the connection's own error, which says less.
      fail(Object.assign(new Error('silent'), { code: 'ETIMEDOUT' }));
      call.destroy();
    });
    call.on('error', fail);
    call.end(body);
  });
}

function faultOf({ code, message }: NodeJS.ErrnoException): string {
  switch (code) {
    case 'ETIMEDOUT':
      return `has not answered within ${ANSWER_MS_MAX / 1000} s`;
    case 'ECONNREFUSED':
    case 'ENOENT':
      return 'does not listen: it has ended, or it is about to start';
    case 'EACCES':
      return 'answers root alone';
    default:
      return `does not answer (${code ?? message})`;
  }
}

/** The proxy of a node; null while its agent does not answer. */
export async function proxyOf(lab: string, node: string): Promise<ProxyKind | null> {
  const status = await askAgent<{ proxy: ProxyKind }>(lab, node, '/status').catch(() => null);
  return status?.proxy ?? null;
}

/** Nodes of a lab that run --proxy nftables. */
export async function twinsOf(lab: string): Promise<Set<string>> {
  const nodes = nodesOf(lab);
  const proxies = await Promise.all(nodes.map((node) => proxyOf(lab, node)));
  return new Set(nodes.filter((_, i) => proxies[i] === 'nftables'));
}

/** The arena of a node. Throws KubetunError KT_NO_DATAPATH for a node with --proxy nftables. */
export async function datapathOf(lab: string, node: string): Promise<string> {
  if ((await proxyOf(lab, node)) === 'nftables') throw noDatapath(lab, node);
  return arenaOf(lab, node);
}

export function noDatapath(lab: string, node: string): KubetunError {
  return new KubetunError(
    'KT_NO_DATAPATH',
    `${node} runs --proxy nftables: it has no datapath`,
    `ask its kernel: scripts/kubetun lab exec${labFlag(lab)} node/${node} -- ` +
      'cat /proc/net/nf_conntrack, or nft list table ip kubetun',
  );
}
