// ConfigMaps and Secrets for environments and files of pods.
import type { KubeClient } from '../../../control/kube/client.ts';
import { isNotFound } from '../../../control/kube/error.ts';

export interface SourceRef {
  kind: 'ConfigMap' | 'Secret';
  name: string;
}

/** Key -> value. */
export type SourceData = ReadonlyMap<string, Buffer>;

/** Looks up fetched data. Null if the object does not exist. */
export type Sources = (ref: SourceRef) => SourceData | null;

/** Fetches each object once. Rejects if the API server does not answer. */
export async function fetchSources(
  kube: KubeClient,
  namespace: string,
  refs: SourceRef[],
): Promise<Sources> {
  const wanted = new Map(refs.map((ref) => [keyOf(ref), ref]));
  const found = new Map<string, SourceData | null>();
  await Promise.all(
    [...wanted].map(async ([key, ref]) => found.set(key, await fetchSource(kube, namespace, ref))),
  );
  return (ref) => found.get(keyOf(ref)) ?? null;
}

function keyOf({ kind, name }: SourceRef): string {
  return `${kind}/${name}`;
}

async function fetchSource(
  kube: KubeClient,
  namespace: string,
  { kind, name }: SourceRef,
): Promise<SourceData | null> {
  try {
    if (kind === 'Secret') {
      const { data = {} } = await kube.get('Secret', { namespace, name });
      return decode(data, 'base64');
    }
    const { data = {}, binaryData = {} } = await kube.get('ConfigMap', { namespace, name });
    return new Map([...decode(data, 'utf8'), ...decode(binaryData, 'base64')]);
  } catch (error) {
    if (isNotFound(error)) return null;
    throw error;
  }
}

function decode(data: Record<string, string>, encoding: BufferEncoding): SourceData {
  return new Map(Object.entries(data).map(([key, text]) => [key, Buffer.from(text, encoding)]));
}
