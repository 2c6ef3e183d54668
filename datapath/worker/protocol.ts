/** What the engine hands to its worker. Descriptors belong to the process, so they outlive a worker. */
export interface WorkerInput {
  arenaPath: string;
  /** Devices to serve; to one that is `spoofed` the node sends what pods send with an address that is not theirs. */
  ports: { name: string; fd: number; spoofed: boolean }[];
  wakeFd: number;
  /** Shared with the engine; words CONTROL_*. */
  control: Int32Array;
  /** Seed of the random numbers. */
  seed: number;
}

/** 1 asks the worker to leave its loop. */
export const CONTROL_STOP = 0;
/** 1 once the loop runs. */
export const CONTROL_READY = 1;
export const CONTROL_WORDS = 4;
