// What the query of a write asks for besides.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { invalid, notSupported } from '../status.ts';
import type { WriteOptions } from '../verbs/registry.ts';

/** Upstream says no more than 4 KiB of them. */
const WARNINGS_MAX = 20;
const OPTIONS: Record<string, string> = { POST: 'Create', PUT: 'Update', PATCH: 'Patch' };

/**
 * dryRun and fieldValidation; warnings go into headers of the answer. Throws StatusError Invalid.
 */
export function writeOptions(
  { method }: IncomingMessage,
  query: URLSearchParams,
  response: ServerResponse,
): WriteOptions {
  const kind = `${OPTIONS[method ?? ''] ?? 'Delete'}Options`;
  const choose = (field: string, known: string[]) => {
    const value = query.get(field) ?? '';
    if (value === '' || known.includes(value)) return value;
    const resource = { kind, plural: '', group: 'meta.k8s.io' };
    throw invalid(resource, '', [notSupported(field, value, known)]);
  };
  const validation = choose('fieldValidation', ['Ignore', 'Strict', 'Warn']);
  return {
    dryRun: choose('dryRun', ['All']) === 'All',
    strict: validation === 'Strict',
    ...(validation !== 'Ignore' && { warn: (text) => addWarning(response, text) }),
  };
}

/** As `kubectl` shows them: RFC 7234, 299 is miscellaneous and lasting. */
function addWarning(response: ServerResponse, text: string): void {
  const before = (response.getHeader('warning') as string[] | undefined) ?? [];
  if (before.length >= WARNINGS_MAX) return;
  const safe = text.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&');
  response.setHeader('warning', [...before, `299 - "${safe}"`]);
}
