/** Every error for users: one line that names the object, and the next step. */
export class KubetunError extends Error {
  override readonly name = 'KubetunError';
  readonly code: string;
  /** The next step, one sentence; printed after the message. */
  readonly next: string;
  /** The process's exit code: 2 for wrong usage by the caller, else 1. */
  readonly exitCode: 1 | 2;

  /** @param code stable, `KT_` and upper case, e.g. `KT_LAB_NETNS_EXISTS`. */
  constructor(
    code: string,
    message: string,
    next: string,
    options: { cause?: unknown; usage?: boolean } = {},
  ) {
    super(message, { cause: options.cause });
    this.code = code;
    this.next = next;
    this.exitCode = options.usage ? 2 : 1;
  }
}
