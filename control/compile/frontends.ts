import {
  FRONTEND_CLUSTER,
  FRONTEND_NODEPORT,
  type FrontendEntry,
} from '../../datapath/image/image.ts';
import { formatEnd } from '../../datapath/wire/address.ts';
import { PROTO_TCP, PROTO_UDP } from '../../datapath/wire/ipv4.ts';
import type { PortFrontend } from './port.ts';

/** A Service port's claim to a frontend. */
interface Claim {
  kind: number;
  serviceId: number;
  createdMs: number;
  name: string;
}

/** Several Service ports claim one address and port. */
export interface FrontendConflict {
  /** `address:port`. */
  frontend: string;
  /** Names of the Service ports, `NS/NAME:PORT`. */
  winner: string;
  losers: string[];
}

/**
 * All claims to frontends, and their winners. Addresses that the API allocates (ClusterIPs,
 * NodePorts) win over those that a user writes, so no Service takes another's ClusterIP. Then the
 * older Service wins, then the lower name. The order of the claims does not matter.
 */
export class FrontendBook {
  /** Frontend -> claims, winner first. A single claim, the usual case, has no array. */
  readonly #claims = new Map<number, Claim | Claim[]>();
  /** Frontends changed since `takeChanges`, with their previous winner. */
  readonly #touched = new Map<number, { frontend: PortFrontend; before: Claim | null }>();
  /** Frontends that several Service ports claim. */
  readonly #contested = new Map<number, FrontendConflict>();

  claim(frontend: PortFrontend, serviceId: number, createdMs: number, name: string): void {
    const key = this.#touch(frontend);
    const claim = { kind: frontend.kind, serviceId, createdMs, name };
    const claims = this.#claims.get(key);
    if (claims === undefined) this.#claims.set(key, claim);
    else if (Array.isArray(claims)) insertClaim(claims, claim);
    else this.#claims.set(key, [claims, claim].sort(byPrecedence));
  }

  /** Withdraws a claim of this Service port to this frontend. */
  release(frontend: PortFrontend, serviceId: number): void {
    const key = this.#touch(frontend);
    const claims = toList(this.#claims.get(key)).slice();
    const at = claims.findIndex((c) => c.serviceId === serviceId && c.kind === frontend.kind);
    if (at >= 0) claims.splice(at, 1);
    if (claims.length === 0) this.#claims.delete(key);
    else this.#claims.set(key, claims.length === 1 ? claims[0]! : claims);
  }

  /** True if this Service port wins this frontend. */
  holds(frontend: PortFrontend, serviceId: number): boolean {
    const winner = toList(this.#claims.get(keyOf(frontend)))[0];
    return winner?.serviceId === serviceId && winner.kind === frontend.kind;
  }

  /** Frontends whose winner changed since the last call, and their conflicts. */
  takeChanges(): { add: FrontendEntry[]; remove: FrontendEntry[]; conflicts: FrontendConflict[] } {
    const add: FrontendEntry[] = [];
    const remove: FrontendEntry[] = [];
    const conflicts: FrontendConflict[] = [];
    for (const [key, { frontend, before }] of this.#touched) {
      const claims = toList(this.#claims.get(key));
      const winner = claims[0] ?? null;
      const losers = new Set(claims.map((c) => c.name).filter((name) => name !== winner?.name));
      const { address, port, proto } = frontend;
      if (winner && losers.size > 0) {
        const conflict = {
          frontend: formatEnd(address, port),
          winner: winner.name,
          losers: [...losers],
        };
        this.#contested.set(key, conflict);
        conflicts.push(conflict);
      } else this.#contested.delete(key);
      const same = before?.serviceId === winner?.serviceId && before?.kind === winner?.kind;
      if (same) continue;
      if (before) remove.push({ address, port, proto, ...held(before) });
      if (winner) add.push({ address, port, proto, ...held(winner) });
    }
    this.#touched.clear();
    return { add, remove, conflicts };
  }

  /** All conflicts, as of the last `takeChanges`. */
  conflicts(): Iterable<FrontendConflict> {
    return this.#contested.values();
  }

  #touch(frontend: PortFrontend): number {
    const key = keyOf(frontend);
    if (!this.#touched.has(key)) {
      this.#touched.set(key, { frontend, before: toList(this.#claims.get(key))[0] ?? null });
    }
    return key;
  }
}

/** Inserts by binary search, because a frontend may have many claims. */
function insertClaim(claims: Claim[], claim: Claim): void {
  let low = 0;
  let high = claims.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (byPrecedence(claims[middle]!, claim) <= 0) low = middle + 1;
    else high = middle;
  }
  claims.splice(low, 0, claim);
}

function held({ kind, serviceId }: Claim): { kind: number; serviceId: number } {
  return { kind, serviceId };
}

function toList(claims: Claim | Claim[] | undefined): Claim[] {
  if (claims === undefined) return [];
  return Array.isArray(claims) ? claims : [claims];
}

/** Exact as a double: 32 bits of address, 16 of port, 2 of protocol. */
function keyOf({ address, port, proto }: PortFrontend): number {
  const protocol = proto === PROTO_TCP ? 0 : proto === PROTO_UDP ? 1 : 2;
  return ((address >>> 0) * 65_536 + port) * 4 + protocol;
}

function isAllocated(kind: number): boolean {
  return kind === FRONTEND_CLUSTER || kind === FRONTEND_NODEPORT;
}

function byPrecedence(a: Claim, b: Claim): number {
  return (
    Number(isAllocated(b.kind)) - Number(isAllocated(a.kind)) ||
    a.createdMs - b.createdMs ||
    (a.name < b.name ? -1 : a.name > b.name ? 1 : 0) ||
    a.kind - b.kind
  );
}
