import { addressOf } from '../topology.ts';
import type { Twin } from '../twin.ts';

/** The kernel forwards without translation: the limit of the cables and the protocol stacks. */
export const kernelForward: Twin = {
  name: 'kernel forward',
  datagrams: true,
  attach: 'veth',
  address: addressOf('pod2'),
  async begin() {},
  async end() {},
};
