import type { Attach } from './topology.ts';

/** A measured datapath. It is active on the node for one turn, then removed. */
export interface Twin {
  name: string;
  /** The program that it needs. Without it the others are measured alone. */
  tool?: { program: string; package: string };
  /** A proxy of TCP connections forwards no datagrams. */
  datagrams: boolean;
  /** The pods that it connects. */
  attach: Attach;
  /** The address for clients: the Service's, or the server's if nothing translates. */
  address: string;
  /** Activates it with a number of Services. Another call changes the number. */
  begin(services: number): Promise<void>;
  /** Removes it: the node forwards without translation again. */
  end(): Promise<void>;
}
