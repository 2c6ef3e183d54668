// Objects of programs that the lab itself runs in pods, with their accounts.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ensureToken } from '../../control/apiserver/http/credentials.ts';
import type { KubeClient } from '../../control/kube/client.ts';
import { KubeStatusError } from '../../control/kube/error.ts';
import type { KubeKind } from '../../control/kube/kinds.ts';
import { stateDir } from '../../control/places.ts';

export interface Named {
  metadata: { name: string; namespace?: string };
}

/** An object to create, with further fields of its kind. */
export type OwnObject = [kind: KubeKind, object: Named];

/** Where a program in a pod looks for its account. */
const ACCOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Creates objects, or brings those of an earlier supervisor up to date. */
export async function bringObjects(kube: KubeClient, objects: OwnObject[]): Promise<void> {
  for (const [kind, object] of objects) {
    try {
      await kube.create(kind, object as never);
    } catch (error) {
      if (!(error instanceof KubeStatusError) || error.reason !== 'AlreadyExists') throw error;
      await kube.patch(kind, object.metadata, object);
    }
  }
}

function pkiFolder(lab: string): string {
  return join(stateDir(lab), 'pki');
}

/** The token of an account, made on first use. */
export function accountToken(lab: string, account: string): string {
  return ensureToken(pkiFolder(lab), account);
}

/** The files of an account in its pods. */
export function accountFiles(
  lab: string,
  { namespace, name }: { namespace: string; name: string },
): Record<string, string> {
  const ca = readFileSync(join(pkiFolder(lab), 'ca.crt'), 'utf8');
  return { token: accountToken(lab, name), 'ca.crt': ca, namespace };
}

/** A volume with the files of an account, and its place in a container. */
export function accountVolume(secretName: string): { volume: object; mount: object } {
  const name = 'account';
  return {
    volume: { name, secret: { secretName } },
    mount: { name, mountPath: ACCOUNT_PATH, readOnly: true },
  };
}
