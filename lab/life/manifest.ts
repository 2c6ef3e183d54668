// Manifests: YAML files that are checked before anything is made, then applied through the API
// server.
import { spawnSync } from 'node:child_process';
import type { KubeClient } from '../../control/kube/client.ts';
import { DecodeError, decodeObject } from '../../control/kube/decode.ts';
import { KubeStatusError } from '../../control/kube/error.ts';
import { KINDS, type KubeKind } from '../../control/kube/kinds.ts';
import { KubetunError } from '../../datapath/error.ts';
import { findTool } from '../host/tools.ts';
import {
  parseYaml,
  readYaml,
  type YamlDocument,
  type YamlPath,
  yamlError,
} from '../yaml/document.ts';

/** One object of a manifest, and its place in the file. */
export interface ManifestObject {
  kind: KubeKind;
  namespace: string | undefined;
  name: string;
  object: Record<string, unknown>;
  /** `FILE:LINE`. */
  place: string;
  document: YamlDocument;
}

interface AnyObject {
  apiVersion?: unknown;
  kind?: unknown;
  metadata?: { name?: unknown; namespace?: unknown };
  items?: unknown;
}

const KUSTOMIZED_BYTES_MAX = 64 * 1024 * 1024;
/** Deeper nesting of lists is an error of the file. */
const LIST_DEPTH_MAX = 10;

/**
 * All objects of some files, then of some folders with a kustomization, in order. Throws
 * KubetunError KT_FILE, KT_YAML with file and line, KT_TOOL_MISSING, KT_KUSTOMIZE.
 */
export function readManifests(files: string[], folders: string[] = []): ManifestObject[] {
  const documents = [...files.flatMap(readYaml), ...folders.flatMap(buildKustomization)];
  return documents
    .filter((document) => document.value !== null)
    .flatMap((document) => itemsOf(document))
    .map(readObject);
}

/** The output of `kubectl kustomize` for a folder. */
function buildKustomization(folder: string): YamlDocument[] {
  const kubectl = findTool('kubectl');
  if (kubectl === null) {
    throw new KubetunError(
      'KT_TOOL_MISSING',
      `-k ${folder}: kubectl is not installed, and only kubectl reads a kustomization`,
      'install kubectl, or give the files with -f',
    );
  }
  const { status, stdout, stderr, error } = spawnSync(kubectl, ['kustomize', folder], {
    encoding: 'utf8',
    maxBuffer: KUSTOMIZED_BYTES_MAX,
  });
  if (status === 0) return parseYaml(stdout, `kustomization ${folder}`);
  const why =
    error?.message ??
    stderr
      .trim()
      .replace(/^error: /, '')
      .replaceAll(/\s*\n\s*/g, ' ');
  throw new KubetunError('KT_KUSTOMIZE', `-k ${folder}: ${why}`, 'correct the kustomization');
}

/**
 * Each item of a list, also of a nested list, as a separate document. Any other document as it is.
 */
function itemsOf(document: YamlDocument, depth = 0): YamlDocument[] {
  const { kind, items } = (document.value ?? {}) as AnyObject;
  if (typeof kind !== 'string' || !/List$/.test(kind) || items === undefined) return [document];
  if (!Array.isArray(items)) throw yamlError(document.locate(['items']), `${kind}: items: no list`);
  if (depth === LIST_DEPTH_MAX) {
    throw yamlError(
      document.locate([]),
      `${kind}: more than ${LIST_DEPTH_MAX} lists in each other`,
    );
  }
  return items.flatMap((value, i) => {
    const locate = (path: YamlPath) => document.locate(['items', i, ...path]);
    return itemsOf({ file: document.file, value, locate }, depth + 1);
  });
}

function readObject(document: YamlDocument): ManifestObject {
  const object = document.value as AnyObject;
  const refuse = (path: string[], message: string) => yamlError(document.locate(path), message);
  if (typeof object !== 'object' || Array.isArray(object)) {
    throw refuse([], 'the document is not a Kubernetes object');
  }
  const { apiVersion, kind, metadata } = object;
  if (typeof kind !== 'string') throw refuse(['kind'], 'the object has no kind');
  if (typeof apiVersion !== 'string') throw refuse(['apiVersion'], `${kind} has no apiVersion`);
  const row = Object.hasOwn(KINDS, kind) ? KINDS[kind as KubeKind] : null;
  if (!row || row.apiVersion !== apiVersion) {
    const known = Object.keys(KINDS).join(', ');
    throw refuse(['kind'], `the lab serves no ${apiVersion} ${kind} (it serves ${known})`);
  }
  if (typeof metadata?.name !== 'string') throw refuse(['metadata'], `${kind} has no name`);
  decode(kind as KubeKind, metadata.name, document);
  return {
    kind: kind as KubeKind,
    namespace: row.namespaced ? String(metadata.namespace ?? 'default') : undefined,
    name: metadata.name,
    object: object as Record<string, unknown>,
    place: document.locate([]),
    document,
  };
}

/** Decodes an object as the API server does, so that a refusal names the line. */
function decode(kind: KubeKind, name: string, { value, locate }: YamlDocument): void {
  const refuse = (field: string, why: string) =>
    yamlError(locate(pathOfField(field)), `${kind} ${name}: ${why}`);
  try {
    const [unknown] = decodeObject(kind, value);
    if (unknown !== undefined) throw refuse(unknown, `unknown field ${JSON.stringify(unknown)}`);
  } catch (error) {
    if (error instanceof DecodeError) throw refuse(error.field, `${error.field}: ${error.message}`);
    throw error;
  }
}

/** `spec.ports[0].port` as keys and indices. */
export function pathOfField(field: string): YamlPath {
  const keys = field.split(/[.[\]]+/).filter(Boolean);
  return keys.map((key) => (/^\d+$/.test(key) ? Number(key) : key));
}

/** Creates or patches each object. Throws KubetunError KT_YAML if the API server refuses one. */
export async function applyManifests(kube: KubeClient, objects: ManifestObject[]): Promise<void> {
  for (const item of objects) {
    try {
      await applyObject(kube, item);
    } catch (error) {
      if (!(error instanceof KubeStatusError)) throw error;
      throw yamlError(item.place, `${item.kind} ${item.name}: ${error.message}`);
    }
  }
}

async function applyObject(kube: KubeClient, item: ManifestObject): Promise<void> {
  const { kind, name, namespace } = item;
  const metadata = { ...(item.object.metadata as object), ...(namespace && { namespace }) };
  const object = { ...item.object, metadata };
  try {
    await kube.create(kind, object as never, { strict: true });
  } catch (error) {
    if (!(error instanceof KubeStatusError) || error.reason !== 'AlreadyExists') throw error;
    await kube.patch(kind, { name, ...(namespace && { namespace }) }, object);
  }
}
