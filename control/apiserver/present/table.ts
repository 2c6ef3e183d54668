// Tables: the server formats objects as rows, so that every client shows the same.

import type { KubeKind } from '../../kube/kinds.ts';
import type { KubeObject } from '../../kube/object.ts';
import type { ServedKind } from '../kind.ts';
import { type Column, columnsOf } from './columns.ts';

/** What each row contains: query parameter `includeObject`. */
export type RowObject = 'None' | 'Metadata' | 'Object';

const API_VERSION = 'meta.k8s.io/v1';

/** True if an Accept header wants a Table of this version before anything else. */
export function wantsTable(accept: string | undefined): boolean {
  const first = (accept ?? '').split(',').map((type) => type.replaceAll(' ', '').split(';'));
  return first.some(
    ([type, ...parameters]) =>
      type === 'application/json' &&
      ['as=Table', 'v=v1', 'g=meta.k8s.io'].every((parameter) => parameters.includes(parameter)),
  );
}

/** A Table object. As upstream, only the first event of a watch has the columns. */
export function toTable(
  kind: ServedKind,
  objects: KubeObject[],
  listMetadata: object,
  rowObject: RowObject,
  withColumns = true,
): object {
  const columns = columnsOf(kind.kind as KubeKind);
  return {
    kind: 'Table',
    apiVersion: API_VERSION,
    metadata: listMetadata,
    columnDefinitions: withColumns ? columns.map(definition) : [],
    rows: objects.map((object) => ({
      cells: columns.map((column) => cellOf(column, object)),
      ...(rowObject !== 'None' && { object: inRow(object, rowObject) }),
    })),
  };
}

/** An error in one cell does not fail the list. */
function cellOf({ name, cell }: Column, object: KubeObject): unknown {
  try {
    return cell(object);
  } catch (error) {
    const { kind, metadata } = object;
    console.error(`table: column ${name} of ${kind} ${metadata.name}: ${(error as Error).stack}`);
    return '<invalid>';
  }
}

function definition({ name, type, wide }: Column): object {
  return {
    name,
    type,
    format: name === 'Name' ? 'name' : '',
    description: '',
    priority: wide ? 1 : 0,
  };
}

function inRow(object: KubeObject, rowObject: RowObject): object {
  if (rowObject === 'Object') return object;
  return { kind: 'PartialObjectMetadata', apiVersion: API_VERSION, metadata: object.metadata };
}
