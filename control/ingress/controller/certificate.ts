// The certificate for clients without SNI, where no Secret is the default.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const DAYS = '3650';
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** Certificate and key, self-signed, made once with openssl(1) and kept in the folder. */
export function fallbackCertificate(folder: string): string {
  const path = join(folder, 'fallback.pem');
  if (existsSync(path)) return readFileSync(path, 'utf8');
  const part = (name: string) => join(folder, `fallback.${name}`);
  execFileSync('openssl', [
    ...['req', '-x509', ...KEY, '-days', DAYS, '-subj', '/CN=Kubetun Ingress Fallback'],
    ...['-addext', 'subjectAltName=DNS:ingress.local'],
    ...['-keyout', part('key'), '-out', part('crt')],
  ]);
  const pem = readFileSync(part('crt'), 'utf8') + readFileSync(part('key'), 'utf8');
  writeFileSync(part('new'), pem, { mode: 0o600 });
  renameSync(part('new'), path);
  for (const name of ['key', 'crt']) rmSync(part(name));
  return pem;
}
