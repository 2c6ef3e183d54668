import { KubetunError } from '../../datapath/error.ts';

/** The fields of a Status that callers read. */
export interface StatusBody {
  code?: number;
  reason?: string;
  message?: string;
}

/** A refusal of the API server. */
export class KubeStatusError extends KubetunError {
  /** HTTP status: 404, 409, 410, 422 ... */
  readonly status: number;
  /** Upstream's reason, e.g. `NotFound`, `Conflict`, `AlreadyExists`, `Expired`; or empty. */
  readonly reason: string;

  constructor(status: number, body: StatusBody, request: string) {
    const reason = body.reason ?? '';
    super(
      `KT_KUBE_${(reason || String(status)).toUpperCase()}`,
      `the API server refused ${request}: ${body.message ?? `status ${status}`}`,
      status === 401 || status === 403 ? 'check the kubeconfig and its rights' : '',
    );
    this.status = status;
    this.reason = reason;
  }
}

/** True if a watch or a list cannot continue and must start with a new list. */
export function isGone(error: unknown): boolean {
  return error instanceof KubeStatusError && (error.status === 410 || isFuture(error));
}

/** A resourceVersion above the server's latest comes from another server. */
function isFuture(error: KubeStatusError): boolean {
  return error.status === 504 && /resource version/i.test(error.message);
}

/** True if the object does not exist. */
export function isNotFound(error: unknown): boolean {
  return error instanceof KubeStatusError && error.status === 404;
}

/** True if the account has no right to the request. */
export function isForbidden(error: unknown): boolean {
  return error instanceof KubeStatusError && error.status === 403;
}
