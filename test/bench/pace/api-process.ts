// Entry: `api-process.ts FOLDER`. An API server on loopback with journal and kubeconfig in a
// folder. Prints `ready` when it serves.
import { join } from 'node:path';
import { ensureCredentials, writeKubeconfig } from '../../../control/apiserver/http/credentials.ts';
import { startApiServer } from '../../../control/cluster/server.ts';
import { API_ADDRESS, RANGES } from './cluster.ts';

const folder = process.argv[2]!;
const { ca, cert, key, token } = ensureCredentials(join(folder, 'pki'), ['127.0.0.1']);
const { ports } = await startApiServer({
  journal: join(folder, 'journal'),
  listen: [{ host: '127.0.0.1', port: 0 }],
  tls: { key, cert },
  ca,
  token,
  kubelet: null,
  apiAddress: API_ADDRESS,
  ...RANGES,
});
const server = `https://127.0.0.1:${ports[0]}`;
const about = { server, ca, token, name: 'bench', namespace: 'default' };
writeKubeconfig(join(folder, 'kubeconfig'), about);
console.log('ready');
