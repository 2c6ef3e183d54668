// Reassembly as in a receiver's kernel (RFC 5722): exact copies are ignored, an overlap discards
// the datagram. The kernel twin reassembles on the way and the datapath passes fragments on, so the
// receiver's result is compared.
import { sumHeader } from './craft.ts';

interface Datagram {
  pieces: Map<number, Buffer>;
  total: number;
  first: Buffer | null;
  isLost: boolean;
}

export class Reassembly {
  readonly #datagrams = new Map<string, Datagram>();

  /** The whole packet. Null while a fragment is missing. */
  take(packet: Buffer): Buffer | null {
    const word = packet.readUInt16BE(6);
    if ((word & 0x3fff) === 0) return packet;
    const key = `${packet.toString('hex', 12, 20)} ${packet[9]} ${packet.readUInt16BE(4)}`;
    const datagram = this.#datagrams.get(key) ?? {
      ...{ pieces: new Map(), total: -1, first: null, isLost: false },
    };
    this.#datagrams.set(key, datagram);
    if (datagram.isLost)
      this.#datagrams.set(key, { ...datagram, pieces: new Map(), isLost: false });
    const whole = this.#add(datagram, packet, (word & 0x1fff) * 8, (word & 0x2000) !== 0);
    if (whole || datagram.isLost) this.#datagrams.delete(key);
    return whole;
  }

  #add(datagram: Datagram, packet: Buffer, at: number, more: boolean): Buffer | null {
    const header = (packet[0]! & 15) * 4;
    const body = packet.subarray(header, packet.readUInt16BE(2));
    const same = datagram.pieces.get(at);
    if (same && same.length === body.length) return null;
    for (const [start, { length }] of datagram.pieces) {
      if (at < start + length && start < at + body.length) datagram.isLost = true;
    }
    if (datagram.isLost) return null;
    datagram.pieces.set(at, body);
    if (at === 0) datagram.first = packet;
    if (!more) datagram.total = at + body.length;
    const have = [...datagram.pieces.values()].reduce((sum, { length }) => sum + length, 0);
    if (have !== datagram.total || !datagram.first) return null;
    const parts = [...datagram.pieces].sort(([a], [b]) => a - b).map(([, part]) => part);
    const { first } = datagram;
    const whole = Buffer.concat([first.subarray(0, (first[0]! & 15) * 4), ...parts]);
    whole.writeUInt16BE(whole.length, 2);
    whole.writeUInt16BE(0, 6);
    sumHeader(whole);
    return whole;
  }
}
