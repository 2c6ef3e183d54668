// Refusals as Kubernetes words them: staging/src/k8s.io/apimachinery/pkg/api/errors.

/** One error in an object, with its field. */
export interface FieldError {
  /** A path such as `spec.ports[0].port`. */
  field: string;
  reason:
    | 'FieldValueRequired'
    | 'FieldValueInvalid'
    | 'FieldValueNotFound'
    | 'FieldValueForbidden'
    | 'FieldValueNotSupported'
    | 'FieldValueDuplicate'
    | 'FieldValueTooLong'
    | 'FieldValueTooMany';
  message: string;
}

/** The details of a Status object. */
export interface StatusDetails {
  name?: string;
  group?: string;
  kind?: string;
  uid?: string;
  causes?: { reason: string; message: string; field: string }[];
  retryAfterSeconds?: number;
}

/** Refuses a request. The store and the verbs throw it; the server answers with it. */
export class StatusError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly details: StatusDetails;
  readonly metadata: { continue?: string };

  constructor(
    code: number,
    reason: string,
    message: string,
    details: StatusDetails = {},
    metadata: { continue?: string } = {},
  ) {
    super(message);
    this.metadata = metadata;
    this.code = code;
    this.reason = reason;
    this.details = details;
  }

  /** The Status object as clients expect it. */
  toStatus(): object {
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: this.metadata,
      status: 'Failure',
      message: this.message,
      reason: this.reason,
      // kubectl reads it without a check. Upstream omits it from a 401 only.
      ...(this.code !== 401 && { details: this.details }),
      code: this.code,
    };
  }
}

/** `pods` or `deployments.apps`, as messages name a kind. */
export interface ResourceName {
  plural: string;
  group: string;
  kind: string;
}

/**
 * Error codes of a write when the disk, the user's quota or the limit of file sizes is reached.
 */
const NO_ROOM = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** The refusal of a write that the journal could not store. */
export function journalUnwritable({ code = '', message }: NodeJS.ErrnoException): StatusError {
  const why = `the write is refused because the journal cannot be written: ${message}`;
  if (!NO_ROOM.has(code)) {
    return new StatusError(500, 'InternalError', `Internal error occurred: ${why}`);
  }
  const next = "make room on the disk of the API server's state, then write again";
  return new StatusError(507, 'InsufficientStorage', `${why}: ${next}`);
}

function qualified({ plural, group }: ResourceName): string {
  return group === '' ? plural : `${plural}.${group}`;
}

function about(resource: ResourceName, name: string): StatusDetails {
  return { name, ...(resource.group && { group: resource.group }), kind: resource.plural };
}

export function notFound(resource: ResourceName, name: string): StatusError {
  const message = `${qualified(resource)} ${JSON.stringify(name)} not found`;
  return new StatusError(404, 'NotFound', message, about(resource, name));
}

export function alreadyExists(resource: ResourceName, name: string): StatusError {
  const message = `${qualified(resource)} ${JSON.stringify(name)} already exists`;
  return new StatusError(409, 'AlreadyExists', message, about(resource, name));
}

export function conflict(resource: ResourceName, name: string, why: string): StatusError {
  const what = `${qualified(resource)} ${JSON.stringify(name)}`;
  const message = `Operation cannot be fulfilled on ${what}: ${why}`;
  return new StatusError(409, 'Conflict', message, about(resource, name));
}

/** The refusal of a write that names another uid or resourceVersion than the stored object has. */
export function preconditionFailed(
  resource: ResourceName,
  name: string,
  [field, asked, stored]: ['UID' | 'ResourceVersion', asked: string, stored: string | undefined],
): StatusError {
  const parts = `${field} in precondition: ${asked}, ${field} in object meta: ${stored}`;
  return conflict(resource, name, `Precondition failed: ${parts}`);
}

export function refused(
  resource: ResourceName,
  name: string,
  why: string,
  causes: StatusDetails['causes'] = [],
): StatusError {
  const message = `${qualified(resource)} ${JSON.stringify(name)} is forbidden: ${why}`;
  const details = { ...about(resource, name), ...(causes.length > 0 && { causes }) };
  return new StatusError(403, 'Forbidden', message, details);
}

/** The answer to a delete that leaves no object. */
export function deleted(resource: ResourceName, name: string, uid: string): object {
  const details = { ...about(resource, name), uid };
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details };
}

/** The message of upstream when another write came first. */
export const MODIFIED =
  'the object has been modified; please apply your changes to the latest version and try again';

export function invalid(resource: ResourceName, name: string, errors: FieldError[]): StatusError {
  const list = errors.map((e) => `${e.field}: ${e.message}`);
  const text = list.length === 1 ? list[0] : `[${list.join(', ')}]`;
  const kind = resource.group === '' ? resource.kind : `${resource.kind}.${resource.group}`;
  return new StatusError(422, 'Invalid', `${kind} ${JSON.stringify(name)} is invalid: ${text}`, {
    name,
    ...(resource.group && { group: resource.group }),
    kind: resource.kind,
    causes: errors.map((e) => ({ reason: e.reason, message: e.message, field: e.field })),
  });
}

export function badRequest(message: string): StatusError {
  return new StatusError(400, 'BadRequest', message);
}

/** The depth limit of objects. Functions that walk an object recursively rely on it. */
export const DEPTH_MAX = 1000;

/** The refusal of a deeper object, as Go's decoder words it. */
export function tooDeep(): StatusError {
  return badRequest('json: exceeded max depth');
}

export function gone(asked: string, oldest: number): StatusError {
  return new StatusError(410, 'Expired', `too old resource version: ${asked} (${oldest})`);
}

export function pathNotFound(): StatusError {
  return new StatusError(404, 'NotFound', 'the server could not find the requested resource');
}

export function notAllowed(): StatusError {
  const message = 'the server does not allow this method on the requested resource';
  return new StatusError(405, 'MethodNotAllowed', message);
}

// Field errors, as k8s.io/apimachinery/pkg/util/validation/field words them.

export function required(field: string, detail = ''): FieldError {
  const message = `Required value${detail && `: ${detail}`}`;
  return { field, reason: 'FieldValueRequired', message };
}

export function wrong(field: string, value: unknown, detail: string): FieldError {
  const message = `Invalid value: ${JSON.stringify(value)}: ${detail}`;
  return { field, reason: 'FieldValueInvalid', message };
}

export function forbidden(field: string, detail: string): FieldError {
  return { field, reason: 'FieldValueForbidden', message: `Forbidden: ${detail}` };
}

export function duplicate(field: string, value: unknown): FieldError {
  const message = `Duplicate value: ${JSON.stringify(value)}`;
  return { field, reason: 'FieldValueDuplicate', message };
}

export function tooLong(field: string, bytesMax: number): FieldError {
  const message = `Too long: may not be more than ${bytesMax} bytes`;
  return { field, reason: 'FieldValueTooLong', message };
}

export function notSupported(field: string, value: unknown, known: string[]): FieldError {
  const list = known.map((k) => JSON.stringify(k)).join(', ');
  const message = `Unsupported value: ${JSON.stringify(value)}: supported values: ${list}`;
  return { field, reason: 'FieldValueNotSupported', message };
}
