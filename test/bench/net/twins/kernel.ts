import { SERVER_ADDRESS } from '../topology.ts';
import type { Twin } from '../twin.ts';

/**
 * The kernel forwards, and nothing is translated: what the cables and the protocol stacks allow.
 */
export const kernelForward: Twin = {
  name: 'kernel forward',
  address: SERVER_ADDRESS,
  async begin() {},
  async end() {},
};
