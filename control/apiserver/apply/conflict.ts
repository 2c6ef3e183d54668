// What somebody hears who would take fields from others:
// apimachinery/pkg/util/managedfields/internal/conflict.go.
import { StatusError } from '../status.ts';
import { paths } from './field-set.ts';
import type { ManagedFields } from './managers.ts';
import type { Taken } from './ownership.ts';

/** The refusal of an apply, with a cause for each field that another manager owns. */
export function applyConflict(taken: Taken[]): StatusError {
  const conflicts = taken
    .map(({ entry, fields }) => ({ owner: describe(entry), fields: [...paths(fields)].sort() }))
    .sort((a, b) => (a.owner < b.owner ? -1 : 1));
  const causes = conflicts.flatMap(({ owner, fields }) =>
    fields.map((field) => ({
      reason: 'FieldManagerConflict',
      message: `conflict with ${owner}`,
      field,
    })),
  );
  const [first] = causes;
  const text =
    causes.length === 1
      ? `1 conflict: ${first!.message}: ${first!.field}`
      : `${causes.length} conflicts: ${conflicts.map(list).join('\n')}`;
  return new StatusError(409, 'Conflict', `Apply failed with ${text}`, { causes });
}

function list({ owner, fields }: { owner: string; fields: string[] }): string {
  return [`conflicts with ${owner}:`, ...fields.map((field) => `- ${field}`)].join('\n');
}

function describe({ manager, operation, apiVersion, subresource }: ManagedFields): string {
  const name = JSON.stringify(manager);
  const what = subresource ? `${name} with subresource ${JSON.stringify(subresource)}` : name;
  return operation === 'Update' ? `${what} using ${apiVersion}` : what;
}
