// A real API server on loopback for tests, with a client.
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Reader } from '../../control/apiserver/http/account.ts';
import { ensureCredentials, writeKubeconfig } from '../../control/apiserver/http/credentials.ts';
import { startApiServer } from '../../control/cluster/server.ts';
import { connectKube, type KubeClient } from '../../control/kube/client.ts';

export interface Answer {
  code: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests check the server's answer.
  body: any;
}

export interface TestApi {
  kube: KubeClient;
  port: number;
  token: string;
  kubeconfig: string;
  ca: string;
  /** A raw request, for tests of the wire format. */
  call(method: string, path: string, body?: unknown, headers?: object): Promise<Answer>;
  close(): Promise<void>;
}

/** With a journal the server restores the objects of an earlier one. */
export async function startTestApi(
  journal: string | null = null,
  readers: Reader[] = [],
): Promise<TestApi> {
  const folder = mkdtempSync(join(tmpdir(), 'kubetun-api-'));
  const { ca, cert, key, token } = ensureCredentials(join(folder, 'pki'), ['127.0.0.1']);
  const server = await startApiServer({
    journal,
    listen: [{ host: '127.0.0.1', port: 0 }],
    tls: { key, cert },
    ca,
    token,
    readers,
    kubelet: null,
    serviceRange: '10.96.0.0/16',
    nodePortMin: 30_000,
    nodePortMax: 32_767,
    apiAddress: { address: '172.18.0.1', port: 6443 },
  });
  const port = server.ports[0]!;
  const kubeconfig = join(folder, 'kubeconfig');
  const about = { server: `https://127.0.0.1:${port}`, ca, token, name: 't', namespace: 'default' };
  writeKubeconfig(kubeconfig, about);
  const kube = connectKube(kubeconfig);
  return {
    kube,
    port,
    token,
    kubeconfig,
    ca,
    call: (method, path, body, headers = {}) =>
      call({ port, ca, token }, method, path, body, headers),
    async close() {
      kube.close();
      await server.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** A raw request to a server on loopback. */
export function call(
  { port, ca, token }: { port: number; ca: string; token: string },
  method: string,
  path: string,
  body: unknown,
  headers: object,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? '' : JSON.stringify(body);
    const length = { 'content-length': Buffer.byteLength(text) };
    const options = {
      ...{ host: '127.0.0.1', port, ca, method, path, agent: false as const },
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        ...length,
        ...headers,
      },
    };
    const outgoing = request(options, async (response) => {
      let answer = '';
      for await (const chunk of response) answer += chunk;
      const isJson = response.headers['content-type'] === 'application/json';
      resolve({ code: response.statusCode ?? 0, body: isJson ? JSON.parse(answer) : answer });
    });
    outgoing.on('error', reject);
    outgoing.end(text);
  });
}

/** A pod that matches the Service below; with a nodeName the scheduler ignores it. */
export function pod(name: string, over: Record<string, unknown> = {}, spec: object = {}): object {
  return {
    metadata: { name, labels: { app: 'web' }, ...over },
    spec: { containers: [{ name: 'main', image: 'pause' }], ...spec },
  };
}

export function service(name: string, spec: object = {}): object {
  return { metadata: { name }, spec: { selector: { app: 'web' }, ports: [{ port: 80 }], ...spec } };
}
