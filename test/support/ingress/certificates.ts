// Certificates for tests: an authority and what it has signed, and self-signed ones.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Certificate {
  cert: string;
  key: string;
}

const CURVE = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** Makes a self-signed certificate for these host names, in a folder. The first is its subject. */
export function makeCertificate(
  folder: string,
  hosts: string[],
  organization = 'e2e',
): Certificate {
  const file = join(folder, `${hosts[0]!.replace('*', '_')}-${organization}`);
  const names = hosts.map((host) => `DNS:${host}`).join(',');
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', ...CURVE, '-days', '2', '-keyout', `${file}.key`, '-out', `${file}.crt`],
      ...['-subj', `/O=${organization}/CN=${hosts[0]}`, '-addext', `subjectAltName=${names}`],
    ],
    { stdio: 'ignore' },
  );
  return { cert: readFileSync(`${file}.crt`, 'utf8'), key: readFileSync(`${file}.key`, 'utf8') };
}

/** A Secret of type kubernetes.io/tls. */
export function tlsSecret(name: string, { cert, key }: Certificate, namespace = 'default'): object {
  const encode = (text: string) => Buffer.from(text).toString('base64');
  return {
    ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace } },
    ...{ type: 'kubernetes.io/tls', data: { 'tls.crt': encode(cert), 'tls.key': encode(key) } },
  };
}
