/** Input of a worker. Descriptors and memory belong to the engine, so they outlive a worker. */
export interface WorkerInput {
  /** The engine's own mapping: a restarted worker needs no file. */
  arena: { address: number; flowsMax: number; imageWords: number };
  /** Address of BATCH_BUFFER_BYTES. */
  batch: number;
  /** Address of PORT_TABLE_BYTES: the devices to serve. */
  ports: number;
  /** Address of POLL_SET_BYTES, an epoll set, and an eventfd. */
  polled: number;
  epoll: number;
  wakeFd: number;
  /** Shared with the engine; words CONTROL_*. */
  control: Int32Array;
  /** MERGE_* bits: what is merged on write. */
  merges: number;
  /** How long to poll for packets before a sleep, us; or BUSY_POLL_AUTO. */
  busyPoll: number;
  /** Seed of the random numbers. */
  seed: number;
}

/** 1 asks the worker to leave its loop. */
export const CONTROL_STOP = 0;
/** 1 once the loop runs. */
export const CONTROL_READY = 1;
export const CONTROL_WORDS = 2;
