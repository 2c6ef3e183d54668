// OpenAPI 3 documents, one for each group and version. `kubectl explain` reads them.

import { type KubeKind, rootOf } from '../../kube/kinds.ts';
import { describeModel, type ModelField, modelOfKind } from '../../kube/models.ts';
import type { ServedKind } from '../kind.ts';
import { SERVED } from '../verbs/kinds.ts';
import { gvkOf, INFO, KIND_EXTENSION, PATCH_PARAMETERS, pathOf } from './openapi.ts';

type Json = Record<string, unknown>;

const PLAIN: Record<string, Json> = {
  string: { type: 'string' },
  number: { type: 'integer' },
  boolean: { type: 'boolean' },
  any: { type: 'object' },
  Date: { type: 'string', format: 'date-time' },
  V1MicroTime: { type: 'string', format: 'date-time' },
};
const GENERIC = /^(?:(Array|Set)<(.+)>|\{ \[key: string\]: (.+); \})$/;
/** The format names both types. */
const INT_OR_STRING = { oneOf: [{ type: 'integer' }, { type: 'string' }], format: 'int-or-string' };

const documents = new Map<string, Json>();

/**
 * The document under `/openapi/v3`, undefined if there is none. Documents are built on first use.
 */
export function openapiV3(path: string): object | undefined {
  const roots = new Map(
    SERVED.map((row) => [`/openapi/v3${rootOf(row.apiVersion)}`, row.apiVersion]),
  );
  if (path === '/openapi/v3') {
    const paths = [...roots.keys()].map((url) => [
      url.slice('/openapi/v3/'.length),
      { serverRelativeURL: url },
    ]);
    return { paths: Object.fromEntries(paths) };
  }
  const apiVersion = roots.get(path);
  if (apiVersion === undefined) return undefined;
  let document = documents.get(apiVersion);
  if (!document) {
    document = build(apiVersion);
    documents.set(apiVersion, document);
  }
  return document;
}

function build(apiVersion: string): Json {
  const rows = SERVED.filter((row) => row.apiVersion === apiVersion);
  const schemas: Json = {};
  for (const row of rows) {
    const model = modelOfKind(row.kind as KubeKind);
    addSchema(schemas, model);
    Object.assign(schemas[nameOf(model)] as Json, { [KIND_EXTENSION]: [gvkOf(row)] });
  }
  const paths = Object.fromEntries(rows.flatMap(pathsOf));
  return { openapi: '3.0.0', info: INFO, paths, components: { schemas } };
}

function pathsOf(row: ServedKind): [path: string, item: Json][] {
  const item = pathOf(row);
  const responses = { 200: { description: 'OK' } };
  const get = { responses, [KIND_EXTENSION]: gvkOf(row) };
  const parameters = PATCH_PARAMETERS.map((name) => ({
    ...{ name, in: 'query', schema: { type: 'string' } },
  }));
  // Strategic merge is missing on purpose: kubectl would look for merge keys here, and has its own.
  const content = { 'application/merge-patch+json': { schema: { type: 'object' } } };
  const patch = { ...get, parameters, requestBody: { content } };
  return [
    [item.slice(0, -'/{name}'.length), { get: { ...get, 'x-kubernetes-action': 'list' } }],
    [item, { get: { ...get, 'x-kubernetes-action': 'get' }, patch }],
  ];
}

/** Adds a type and all types of its fields. */
function addSchema(schemas: Json, name: string): void {
  const model = describeModel(name);
  if (!model || Object.hasOwn(schemas, nameOf(name))) return;
  const { description, fields } = model;
  const required = fields.filter((field) => field.isRequired).map((field) => field.name);
  schemas[nameOf(name)] = {
    type: 'object',
    ...(description && { description }),
    properties: Object.fromEntries(fields.map((field) => [field.name, property(field)])),
    ...(required.length > 0 && { required }),
  };
  for (const { type } of fields) addSchema(schemas, innermost(type));
}

function property({ type, format, description }: ModelField): Json {
  const schema = schemaOf(type, format);
  return { ...(description && { description }), ...(schema.$ref ? { allOf: [schema] } : schema) };
}

function schemaOf(type: string, format: string): Json {
  const generic = GENERIC.exec(type);
  if (generic?.[2]) return { type: 'array', items: schemaOf(generic[2], format) };
  if (generic) return { type: 'object', additionalProperties: schemaOf(generic[3]!, format) };
  if (type === 'IntOrString') return INT_OR_STRING;
  if (!Object.hasOwn(PLAIN, type)) return { $ref: `#/components/schemas/${nameOf(type)}` };
  return { ...PLAIN[type]!, ...(format && !PLAIN[type]!.format && { format }) };
}

function innermost(type: string): string {
  const generic = GENERIC.exec(type);
  return generic ? innermost(generic[2] ?? generic[3]!) : type;
}

/** `V1PodSpec` -> `io.k8s.v1.PodSpec`: explain shows the part after the last dot. */
function nameOf(model: string): string {
  const [, version, name] = /(V\d+(?:beta\d+)?)(.+)$/.exec(model) ?? [];
  return version ? `io.k8s.${version.toLowerCase()}.${name}` : `io.k8s.${model}`;
}
