/** Keeps a container waiting, for this reason of its status, until it is tried again. */
export class WaitReason extends Error {
  readonly reason: string;

  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}
