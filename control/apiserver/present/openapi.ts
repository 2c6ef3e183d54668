// A minimal OpenAPI 2 document. kubectl reads from it which parameters a PATCH of a kind accepts.
// Schemas are in the OpenAPI 3 documents.

import { Writer } from 'protobufjs';
import { rootOf } from '../../kube/kinds.ts';
import type { ServedKind } from '../kind.ts';
import { SERVED } from '../verbs/kinds.ts';

/** Query parameters that kubectl uses only if the document names them. */
export const PATCH_PARAMETERS = ['dryRun', 'fieldValidation'];
export const KIND_EXTENSION = 'x-kubernetes-group-version-kind';
export const INFO = { title: 'kubetun', version: 'v1.33.0' };

/** For clients that read JSON. */
export function openapiJson(): object {
  const paths = SERVED.map((row) => [pathOf(row), { patch: patchOperation(row) }]);
  return { swagger: '2.0', info: INFO, paths: Object.fromEntries(paths), definitions: {} };
}

function patchOperation(row: ServedKind): object {
  return {
    parameters: PATCH_PARAMETERS.map((name) => ({ name, in: 'query', type: 'string' })),
    responses: { 200: { description: 'OK' } },
    [KIND_EXTENSION]: gvkOf(row),
  };
}

/**
 * For clients that read protobuf: gnostic's openapi.v2.Document. Field numbers are those of
 * github.com/google/gnostic-models/openapiv2/OpenAPIv2.proto.
 */
export function openapiProtobuf(): Buffer {
  const info = message([1, INFO.title], [2, INFO.version]);
  const items = SERVED.map((row): [2, Buffer] => [
    2,
    message([1, pathOf(row)], [2, message([8, operation(row)])]),
  ]);
  return message([1, '2.0'], [2, info], [8, message(...items)]);
}

function operation(row: ServedKind): Buffer {
  const parameters = PATCH_PARAMETERS.map((name): [8, Buffer] => {
    const query = message([2, 'query'], [4, name], [6, 'string']);
    // ParametersItem.parameter > Parameter.non_body_parameter > NonBodyParameter.query
    return [8, message([1, message([2, message([3, query])])])];
  });
  // The field holds YAML, and JSON is YAML.
  const value = message([2, JSON.stringify(gvkOf(row))]);
  return message(...parameters, [13, message([1, KIND_EXTENSION], [2, value])]);
}

export function gvkOf({ group, version, kind }: ServedKind): object {
  return { group, version, kind };
}

/** The path of one object, such as `/api/v1/nodes/{name}`. */
export function pathOf({ apiVersion, plural, namespaced }: ServedKind): string {
  return `${rootOf(apiVersion)}/${namespaced ? 'namespaces/{namespace}/' : ''}${plural}/{name}`;
}

/**
 * A protobuf message of length-delimited fields. Strings and messages have the same wire format.
 */
function message(...fields: [number: number, value: string | Buffer][]): Buffer {
  const writer = Writer.create();
  for (const [number, value] of fields) writer.uint32((number << 3) | 2).bytes(Buffer.from(value));
  return Buffer.from(writer.finish());
}
