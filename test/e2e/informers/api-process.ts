// api-process FOLDER PORT: an API server with a journal in that folder and a short history of
// changes, until it is killed.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ensureCredentials, writeKubeconfig } from '../../../control/apiserver/http/credentials.ts';
import { startApiServer } from '../../../control/cluster/server.ts';

const [folder, port] = process.argv.slice(2) as [string, string];
const { ca, cert, key, token } = ensureCredentials(join(folder, 'pki'), ['127.0.0.1']);
const server = await startApiServer({
  journal: join(folder, 'journal'),
  eventsKept: 16,
  listen: [{ host: '127.0.0.1', port: Number(port) }],
  tls: { key, cert },
  ...{ ca, token, kubelet: null },
  ...{ serviceRange: '10.96.0.0/16', nodePortMin: 30_000, nodePortMax: 32_767 },
  apiAddress: { address: '172.18.0.1', port: 6443 },
});
const own = join(folder, 'kubeconfig');
if (!existsSync(own)) {
  const about = { ca, token, name: 't', namespace: 'default' };
  writeKubeconfig(own, { ...about, server: `https://127.0.0.1:${server.ports[0]}` });
}
process.stdout.write(`${server.ports[0]}\n`);
