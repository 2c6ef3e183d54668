// A certificate authority of one server, its certificate, and the token of its clients.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { KubetunError } from '../../../datapath/error.ts';
import { makeFolder, replaceFile } from '../../files.ts';

export interface Credentials {
  /** PEM. */
  ca: string;
  cert: string;
  key: string;
  token: string;
}

const DAYS = '3650';
const CURVE = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/**
 * Reads the credentials in a folder. Creates them on first use with openssl(1): EC keys and a
 * certificate for these names and addresses. Files have mode 0600. Throws KubetunError KT_OPENSSL.
 */
export function ensureCredentials(folder: string, hosts: string[]): Credentials {
  const path = (name: string) => join(folder, name);
  if (!existsSync(path('token'))) makeCredentials(folder, hosts);
  const read = (name: string) => readFileSync(path(name), 'utf8');
  return { ca: read('ca.crt'), cert: read('tls.crt'), key: read('tls.key'), token: read('token') };
}

/** The token of an account, kept in the same folder, made on first use. */
export function ensureToken(folder: string, account: string): string {
  const path = join(folder, `token-${account}`);
  if (!existsSync(path)) replaceFile(path, randomToken());
  return readFileSync(path, 'utf8');
}

function makeCredentials(folder: string, hosts: string[]): void {
  makeFolder(folder, 0o700);
  const path = (name: string) => join(folder, name);
  const names = hosts.map((host) => `${isIPv4(host) ? 'IP' : 'DNS'}:${host}`).join(',');
  openssl([
    ...['req', '-x509', ...CURVE, '-days', DAYS, '-subj', '/CN=kubetun-ca'],
    ...['-keyout', path('ca.key'), '-out', path('ca.crt')],
    ...['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign'],
  ]);
  openssl([
    ...['req', '-new', ...CURVE, '-subj', '/CN=kube-apiserver'],
    ...['-keyout', path('tls.key'), '-out', path('tls.csr')],
  ]);
  writeFileSync(path('tls.ext'), `subjectAltName=${names}\nextendedKeyUsage=serverAuth\n`);
  openssl([
    ...['x509', '-req', '-in', path('tls.csr'), '-CA', path('ca.crt'), '-CAkey', path('ca.key')],
    ...['-set_serial', '1', '-days', DAYS, '-extfile', path('tls.ext'), '-out', path('tls.crt')],
  ]);
  // The key of the authority is not needed again.
  for (const name of ['ca.key', 'tls.csr', 'tls.ext']) rmSync(path(name));
  replaceFile(path('token'), randomToken());
}

function randomToken(): string {
  return randomBytes(24).toString('base64url');
}

function openssl(args: string[]): void {
  const umask = process.umask(0o077);
  try {
    execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    const { code, stderr } = error as { code?: string; stderr?: Buffer };
    const missing = code === 'ENOENT';
    const why = stderr?.toString().trim().split('\n').at(-1) ?? '';
    throw new KubetunError(
      'KT_OPENSSL',
      missing ? 'openssl is not installed' : `openssl ${args[0]} failed: ${why}`,
      missing ? 'apt-get install openssl' : '',
      { cause: error },
    );
  } finally {
    process.umask(umask);
  }
}

/** Writes a kubeconfig with one context, mode 0600, at once or not at all. */
export function writeKubeconfig(
  path: string,
  about: { server: string; ca: string; token: string; name: string; namespace: string },
): void {
  const { server, ca, token, name, namespace } = about;
  const authority = Buffer.from(ca).toString('base64');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster: { server, 'certificate-authority-data': authority } }],
    users: [{ name, user: { token } }],
    contexts: [{ name, context: { cluster: name, user: name, namespace } }],
    'current-context': name,
  };
  replaceFile(path, stringify(config));
}
