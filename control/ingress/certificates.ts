// The certificates of Ingresses: which Secret serves which names.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { objectKey } from '../model/parse.ts';
import type { Certificate, Ingress, Secret } from './model.ts';
import { ruleHost } from './names.ts';
import type { Report } from './settings.ts';

const SECRET_TYPE = 'kubernetes.io/tls';
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** A Secret that can be served. */
interface Pair {
  pem: string;
  leaf: X509Certificate;
}

/** Secrets are read once: the objects of a watch are never changed in place. */
const pairs = new WeakMap<Secret, Pair | string>();

export class CertificateTable {
  readonly #secrets: Map<string, Secret>;
  readonly #found = new Map<string, Certificate>();
  /** Host -> the Secret that serves it. */
  readonly #owners = new Map<string, string>();

  constructor(secrets: readonly Secret[]) {
    this.#secrets = new Map(secrets.map((secret) => [objectKey(secret.metadata), secret]));
  }

  /** Adds `spec.tls` of an Ingress. The first Secret of a host serves it. */
  add({ metadata, spec }: Ingress, report: Report): void {
    for (const [i, { hosts, secretName }] of (spec?.tls ?? []).entries()) {
      if (!secretName) continue;
      const field = `spec.tls[${i}]`;
      const key = `${metadata?.namespace ?? 'default'}/${secretName}`;
      const pair = this.#pairOf(key, `${field}.secretName`, report);
      if (pair === null) continue;
      const own = hosts?.length ? hosts : (spec?.rules ?? []).map(({ host }) => host ?? '');
      const names = own.filter((host) => host !== '');
      const taken = names
        .map((host) => this.#take(host, key, pair, field, report))
        .filter((host) => host !== null);
      // With names of its own that others serve, it serves none.
      if (taken.length === 0 && names.length > 0) continue;
      const known = this.#found.get(key) ?? describe(key, pair);
      // Without names, those in the certificate are served.
      const all = new Set(names.length > 0 ? [...known.hosts, ...taken] : known.hosts);
      this.#found.set(key, { ...known, hosts: [...all].sort() });
    }
  }

  /** Makes a Secret the default. `report` gets what is wrong with it. */
  addDefault(key: string, report: Report): void {
    const pair = this.#pairOf(key, 'the default certificate', report);
    if (pair === null) return;
    this.#found.set(key, { ...(this.#found.get(key) ?? describe(key, pair)), isDefault: true });
  }

  get certificates(): Certificate[] {
    return [...this.#found.values()].sort((a, b) => (a.secret < b.secret ? -1 : 1));
  }

  #take(text: string, key: string, { leaf }: Pair, field: string, report: Report): string | null {
    const host = ruleHost(text);
    const quoted = JSON.stringify(text);
    if (host === null) {
      report('HostInvalid', `${field}.hosts has ${quoted}: expected a DNS name; correct it`);
      return null;
    }
    const owner = this.#owners.get(host) ?? key;
    if (owner !== key) {
      const why = `${field}.hosts has ${quoted}, which Secret ${owner} of an older Ingress serves`;
      report('CertificateConflict', `${why}; remove the host, or use that Secret`);
      return null;
    }
    this.#owners.set(host, key);
    if (leaf.checkHost(host.replace('*', 'wildcard')) === undefined) {
      const why = `${field}.secretName is ${key}, whose certificate is not for ${quoted}`;
      report('CertificateHost', `${why}: clients will refuse it; issue one with this name`);
    }
    return host;
  }

  #pairOf(key: string, field: string, report: Report): Pair | null {
    const secret = this.#secrets.get(key);
    if (!secret) {
      const next = 'create it, until then the default certificate is served';
      report('SecretMissing', `${field} is ${JSON.stringify(key)}: no such Secret; ${next}`);
      return null;
    }
    const pair = pairs.get(secret) ?? readPair(secret);
    pairs.set(secret, pair);
    if (typeof pair !== 'string') return pair;
    report('SecretInvalid', `${field} is ${JSON.stringify(key)}: ${pair}`);
    return null;
  }
}

function describe(secret: string, { pem }: Pair): Certificate {
  return { secret, hosts: [], isDefault: false, pem };
}

/** What is wrong with the Secret, and the next step. */
function readPair({ type, data }: Secret): Pair | string {
  if (type !== undefined && type !== SECRET_TYPE && !(data?.['tls.crt'] && data['tls.key'])) {
    return `its type is ${JSON.stringify(type)}, expected ${SECRET_TYPE}; create one of that type`;
  }
  const text = (name: string) => Buffer.from(data?.[name] ?? '', 'base64').toString();
  const chain = text('tls.crt').match(CERTIFICATE);
  if (!chain) return 'its tls.crt has no PEM certificate; store the chain there';
  try {
    const [leaf] = chain.map((pem) => new X509Certificate(pem)) as [X509Certificate];
    const key = createPrivateKey(text('tls.key'));
    if (!leaf.checkPrivateKey(key)) {
      return 'its tls.key is not the key of the first certificate in tls.crt; store a pair';
    }
    const own = key.export({ type: 'pkcs8', format: 'pem' });
    return { leaf, pem: `${chain.join('\n')}\n${own}` };
  } catch (error) {
    const { message } = error as Error;
    return `its tls.crt or tls.key cannot be read (${message}); store PEM without a password`;
  }
}
