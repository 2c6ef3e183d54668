/** A datapath under measurement: put in force on the node for a turn, and taken off after it. */
export interface Twin {
  name: string;
  /** What clients dial: the Service's address, or the server's own where nothing translates. */
  address: string;
  /** Puts it in force with so many Services; called again with another number it changes over. */
  begin(services: number): Promise<void>;
  /** Takes it off: the node forwards plainly again. */
  end(): Promise<void>;
}
