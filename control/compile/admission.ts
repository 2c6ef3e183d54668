// Decides which Services fit in the image together. Costs are computed from rows before anything is
// built, so that a huge Service is cheap to refuse. Pure except for its memory.

import { SERVICE_ID_MAX } from '../../datapath/image/image.ts';
import { PROTO_UDP } from '../../datapath/wire/ipv4.ts';
import type { ServiceRow, SliceRow } from '../model/rows.ts';

/** Words of a Service port's block without its lists. */
const PORT_WORDS = 16;
/** Words of an entry in the frontend map, with its share of free slots. */
const FRONTEND_WORDS = 16;

interface Price {
  words: number;
  ports: number;
  createdMs: number;
}

export class Admission {
  readonly #prices = new Map<string, Price>();
  #words = 0;
  #ports = 0;
  #refused = new Set<string>();

  /** Services that do not fit: the newest and the largest. */
  get refused(): ReadonlySet<string> {
    return this.#refused;
  }

  /** Updates the cost of a Service. */
  put(row: ServiceRow, slices: Iterable<SliceRow>): void {
    this.delete(row.key);
    const { createdMs, ports } = row;
    const price = { words: priceOf(row, slices), ports: ports.length, createdMs };
    this.#prices.set(row.key, price);
    this.#words += price.words;
    this.#ports += price.ports;
  }

  delete(key: string): void {
    const price = this.#prices.get(key);
    if (!price) return;
    this.#prices.delete(key);
    this.#words -= price.words;
    this.#ports -= price.ports;
  }

  /**
   * Decides again: older Services first, then each further one that fits. Returns the keys whose
   * result changed.
   * @param wordsMax limit of image words for Services.
   */
  decide(wordsMax: number): string[] {
    const refused = new Set<string>();
    if (this.#words > wordsMax || this.#ports > SERVICE_ID_MAX) {
      let words = wordsMax;
      let ports = SERVICE_ID_MAX;
      for (const [key, price] of [...this.#prices].sort(byAge)) {
        if (price.words > words || price.ports > ports) {
          refused.add(key);
          continue;
        }
        words -= price.words;
        ports -= price.ports;
      }
    }
    const before = this.#refused;
    this.#refused = refused;
    const isOther = (key: string) => before.has(key) !== refused.has(key);
    return [...new Set([...before, ...refused])].filter(isOther);
  }
}

/** Upper bound of a Service's words. */
function priceOf(row: ServiceRow, slices: Iterable<SliceRow>): number {
  const addresses =
    row.clusterAddresses.length + row.loadBalancerAddresses.length + row.externalAddresses.length;
  let words = addresses * FRONTEND_WORDS;
  for (const { name, nodePort } of row.ports) {
    const frontends = addresses + (nodePort === 0 ? 0 : 1);
    words += PORT_WORDS + ((row.key.length + name.length) >> 2);
    words += row.sourceRanges.length + frontends * FRONTEND_WORDS;
  }
  const asked = new Set(row.ports.map(({ name, proto }) => `${name} ${proto}`));
  const isLocal = row.internalLocal || row.externalLocal;
  for (const { ports, endpoints } of slices) {
    for (const { name, proto } of ports) {
      if (!asked.has(`${name} ${proto}`)) continue;
      words += endpoints.length * (isLocal || proto === PROTO_UDP ? 4 : 2);
    }
  }
  return words;
}

function byAge([a, x]: [string, Price], [b, y]: [string, Price]): number {
  return x.createdMs - y.createdMs || (a < b ? -1 : 1);
}
