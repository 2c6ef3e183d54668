import assert from 'node:assert/strict';
import {
  FRONTEND_KINDS,
  type ImageChange,
  type NodeEntry,
  type ServiceEntry,
} from '../../../../datapath/image/image.ts';
import { formatAddress } from '../../../../datapath/wire/address.ts';

/**
 * Applies image changes like the datapath. Strict: each must be valid and contain something new.
 */
export class Mirror {
  readonly services = new Map<number, ServiceEntry>();
  /** `address:port/proto` -> `kind serviceId`. */
  readonly frontends = new Map<string, { kind: number; serviceId: number }>();
  node: NodeEntry | null = null;

  apply(change: ImageChange): void {
    for (const f of change.removeFrontends) {
      const key = `${formatAddress(f.address)}:${f.port}/${f.proto}`;
      const { kind, serviceId } = f;
      assert.deepEqual(
        this.frontends.get(key),
        { kind, serviceId },
        `${key} is removed from its Service`,
      );
      this.frontends.delete(key);
    }
    for (const f of change.addFrontends) {
      const key = `${formatAddress(f.address)}:${f.port}/${f.proto}`;
      assert.ok(!this.frontends.has(key), `${key} was free`);
      this.frontends.set(key, { kind: f.kind, serviceId: f.serviceId });
    }
    for (const id of change.remove) assert.ok(this.services.delete(id), `${id} was there`);
    for (const entry of change.upsert) {
      assert.notDeepEqual(this.services.get(entry.id), entry, `${entry.name} differs`);
      this.services.set(entry.id, entry);
    }
    for (const [key, { serviceId }] of this.frontends) {
      assert.ok(this.services.has(serviceId), `${key} has an existing Service port`);
    }
    if (change.node) {
      assert.notDeepEqual(change.node, this.node);
      this.node = change.node;
    }
  }

  /** The content without ids, to compare two compiles. */
  picture(): unknown {
    const services = [...this.services.values()].map(({ id: _, ...entry }) => entry);
    services.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.proto - b.proto));
    return { services, frontends: this.frontendNames(), node: this.node };
  }

  /** `address:port/proto kind NS/NAME:PORT`, sorted. */
  frontendNames(): string[] {
    return [...this.frontends]
      .map(([key, f]) => `${key} ${FRONTEND_KINDS[f.kind]} ${this.services.get(f.serviceId)?.name}`)
      .sort();
  }
}

export function pairs(words: Int32Array): string[] {
  const found: string[] = [];
  for (let i = 0; i < words.length; i += 2) {
    found.push(`${formatAddress(words[i]!)}:${words[i + 1]}`);
  }
  return found;
}
