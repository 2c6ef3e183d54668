/** Every error that a person may read: one line that names the object, and the next step. */
export class KubetunError extends Error {
  override readonly name = 'KubetunError';
  readonly code: string;
  /** What to do about it, one sentence; printed after the message. */
  readonly next: string;
  /** 2 when the caller used it wrongly, else 1: the process's exit code. */
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
