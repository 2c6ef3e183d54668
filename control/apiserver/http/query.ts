// Reads query parameters. Source for those of lists and watches:
// apimachinery/pkg/apis/meta/internalversion/validation.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { isObject } from '../../kube/object.ts';
import { checkManager } from '../apply/managers.ts';
import {
  badRequest,
  type FieldError,
  forbidden,
  invalid,
  notSupported,
  type StatusError,
} from '../status.ts';
import { decodeFields } from '../validate/fields.ts';
import type { DeleteOptions } from '../verbs/deletion.ts';
import type { ListOptions } from '../verbs/list.ts';
import type { WriteOptions } from '../verbs/registry.ts';

const MATCHES = ['Exact', 'NotOlderThan'];
const WATCH_S_DEFAULT = 1800;
/** The longest time of a Node timer, 24 days. */
const WATCH_S_MAX = 2_147_483;

function refuse(kind: string, ...errors: FieldError[]): StatusError {
  return invalid({ kind, plural: '', group: 'meta.k8s.io' }, '', errors);
}

/** Version and page of a list. Throws StatusError Invalid or BadRequest in upstream's words. */
export function listOptions(
  query: URLSearchParams,
): Pick<ListOptions, 'limit' | 'continue' | 'resourceVersion' | 'match'> {
  const resourceVersion = query.get('resourceVersion') ?? '';
  const from = query.get('continue') ?? '';
  const limit = Math.max(0, integerOf(query, 'limit') ?? 0);
  const match = query.get('resourceVersionMatch') ?? '';
  if (query.has('sendInitialEvents')) {
    const detail = 'sendInitialEvents is forbidden for list';
    throw refuse('ListOptions', forbidden('sendInitialEvents', detail));
  }
  const fault = match === '' ? null : faultOfMatch(match, resourceVersion, from);
  if (fault) throw refuse('ListOptions', fault);
  if (from !== '' && resourceVersion !== '' && resourceVersion !== '0') {
    throw badRequest('specifying resource version is not allowed when using continue');
  }
  // A limit with a version and without resourceVersionMatch means exactly that version.
  const isExact = match === 'Exact' || (match === '' && limit > 0);
  return { limit, continue: from, resourceVersion, match: isExact ? 'Exact' : 'NotOlderThan' };
}

function faultOfMatch(match: string, resourceVersion: string, from: string): FieldError | null {
  const field = 'resourceVersionMatch';
  if (resourceVersion === '') {
    return forbidden(field, `${field} is forbidden unless resourceVersion is provided`);
  }
  if (from !== '') return forbidden(field, `${field} is forbidden when continue is provided`);
  if (!MATCHES.includes(match)) return notSupported(field, match, [...MATCHES, '']);
  if (match === 'Exact' && resourceVersion === '0') {
    return forbidden(field, `${field} "exact" is forbidden for resourceVersion "0"`);
  }
  return null;
}

/** Throws StatusError Invalid for parameters that no watch can have. */
export function checkWatchOptions(query: URLSearchParams): void {
  const field = 'resourceVersionMatch';
  const match = query.get(field) ?? '';
  const initial = query.get('sendInitialEvents');
  if (initial === null && match !== '') {
    const detail = `${field} is forbidden for watch unless sendInitialEvents is provided`;
    throw refuse('ListOptions', forbidden(field, detail));
  }
  if (initial === null) return;
  if (match !== 'NotOlderThan') {
    const detail = `sendInitialEvents requires setting ${field} to NotOlderThan`;
    throw refuse('ListOptions', forbidden(field, detail));
  }
}

/** The length of a watch. Throws StatusError BadRequest for no integer. */
export function watchTimeoutS(query: URLSearchParams): number {
  const asked = integerOf(query, 'timeoutSeconds') ?? 0;
  return asked > 0 ? Math.min(asked, WATCH_S_MAX) : WATCH_S_DEFAULT;
}

/** An int64 of a query, undefined if absent. Throws StatusError BadRequest in Go's words. */
export function integerOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === '') return undefined;
  const value = Number(text);
  const quoted = JSON.stringify(text);
  if (!/^[+-]?\d+$/.test(text)) {
    throw badRequest(`strconv.ParseInt: parsing ${quoted}: invalid syntax`);
  }
  // JavaScript reads the largest int64 as 2^63.
  if (Math.abs(value) <= 2 ** 63) return value;
  throw badRequest(`strconv.ParseInt: parsing ${quoted}: value out of range`);
}

// Parameters of writes.

/** Upstream sends at most 4 KiB of warnings. */
const WARNINGS_MAX = 20;
const OPTIONS: Record<string, string> = { POST: 'Create', PUT: 'Update', PATCH: 'Patch' };

/**
 * Reads dryRun and fieldValidation. Warnings go into headers of the answer. Throws StatusError
 * Invalid.
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
    throw refuse(kind, notSupported(field, value, known));
  };
  const validation = choose('fieldValidation', ['Ignore', 'Strict', 'Warn']);
  return {
    dryRun: choose('dryRun', ['All']) === 'All',
    strict: validation === 'Strict',
    ...(validation !== 'Ignore' && { warn: (text) => addWarning(response, text) }),
  };
}

/** Adds a header that kubectl prints. RFC 7234: 299 is a miscellaneous persistent warning. */
function addWarning(response: ServerResponse, text: string): void {
  const before = (response.getHeader('warning') as string[] | undefined) ?? [];
  if (before.length >= WARNINGS_MAX) return;
  const safe = text.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&');
  response.setHeader('warning', [...before, `299 - "${safe}"`]);
}

const POLICIES = ['Background', 'Foreground', 'Orphan'];

/** Options of a delete, from the body and the query. Throws StatusError Invalid. */
export function deleteOptions(body: unknown, query: URLSearchParams): DeleteOptions {
  const given = decodeOptions(body);
  const grace = integerOf(query, 'gracePeriodSeconds');
  if (grace !== undefined) given.gracePeriodSeconds = grace;
  if (query.has('dryRun')) given.dryRun = query.getAll('dryRun').filter((value) => value !== '');
  given.propagationPolicy ??= query.get('propagationPolicy') ?? undefined;
  const odd = given.dryRun?.find((value) => value !== 'All');
  if (odd !== undefined) throw refuse('DeleteOptions', notSupported('dryRun', odd, ['All']));
  const policy = given.propagationPolicy;
  if (policy && !POLICIES.includes(policy)) {
    throw refuse('DeleteOptions', notSupported('propagationPolicy', policy, POLICIES));
  }
  return given;
}

function decodeOptions(body: unknown): DeleteOptions {
  const copy = isObject(body) ? structuredClone(body) : {};
  decodeFields({ kind: 'DeleteOptions', version: 'v1' }, copy, { strict: false });
  return copy as DeleteOptions;
}

/** Throws StatusError Invalid for parameters of a patch that do not fit each other. */
export function checkPatchOptions(query: URLSearchParams, isApply: boolean): void {
  const errors: FieldError[] = checkManager(
    query.get('fieldManager') ?? '',
    'fieldManager',
    isApply,
  );
  if (!isApply && query.has('force')) {
    errors.push(forbidden('force', 'may not be specified for non-apply patch'));
  }
  if (errors.length > 0) throw refuse('PatchOptions', ...errors);
}
