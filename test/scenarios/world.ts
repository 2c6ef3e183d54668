// Compiles Kubernetes objects to a node's datapath and sends packets through it, without root.
import { Compiler } from '../../control/compile/compiler.ts';
import { IdAllocator } from '../../control/compile/ids.ts';
import { SNAT_PORT_MAX, SNAT_PORT_MIN } from '../../control/compile/node-entry.ts';
import type { EndpointSlice, Node, Service } from '../../control/kube/kinds.ts';
import { readNode } from '../../control/model/node.ts';
import { readService } from '../../control/model/service.ts';
import { readSlice } from '../../control/model/slice.ts';
import { Tables } from '../../control/model/tables.ts';
import { createArena } from '../../datapath/arena/arena.ts';
import { ImageWriter } from '../../datapath/image/writer.ts';
import { firstPacket, readPacket, type Tuple } from '../../datapath/observe/packet.ts';
import {
  type Batch,
  createBatch,
  P_IP,
  P_LENGTH,
  P_VERDICT,
} from '../../datapath/pipeline/batch.ts';
import { Datapath } from '../../datapath/pipeline/datapath.ts';
import { run } from '../../datapath/pipeline/run.ts';
import { DROP_REASONS, VERDICT_FORWARD, VERDICT_REPLY } from '../../datapath/pipeline/verdict.ts';
import { formatAddress, parseRange } from '../../datapath/wire/address.ts';
import { VNET_HEADER_BYTES } from '../../datapath/wire/vnet.ts';

const SIZES = { flowsMax: 4096, imageWords: 1 << 18 };

/** A manifest's object, as parsed from YAML. */
export interface Manifest {
  kind: string;
  metadata?: { namespace?: string; name?: string };
}

/** The result of a packet: its tuple when it leaves, `reject`, or `drop REASON`. */
export type Outcome = Tuple | string;

export class NodeWorld {
  /** The client's address after masquerade. */
  readonly nodeAddress: string;
  readonly #datapath: Datapath;
  readonly #batch: Batch = createBatch();
  #now = 1000;

  /** Compiles the objects for a node. Throws for a kind that the datapath does not use. */
  constructor(nodeName: string, objects: Manifest[], seed: number) {
    const arena = createArena(SIZES, seed);
    const writer = new ImageWriter(arena);
    const tables = new Tables(nodeName);
    for (const object of objects) put(tables, object);
    const ranges = {
      serviceRange: parseRange('10.96.0.0/16')!,
      podRanges: [],
      snatPortMin: SNAT_PORT_MIN,
      snatPortMax: SNAT_PORT_MAX,
    };
    const compiler = new Compiler(nodeName, ranges, new IdAllocator(new Map(), writer));
    const { change } = compiler.compile(tables, tables.takeChanges(), 1)!;
    writer.publish(change);
    this.nodeAddress = formatAddress(change.node!.nodeAddress);
    this.#datapath = new Datapath(arena, seed);
  }

  /** Sends the first packet of a connection through the pipeline. */
  send(tuple: Tuple): Outcome {
    const b = this.#batch;
    const packet = firstPacket(tuple);
    b.count = 0;
    b.bytes.set(packet, b.end());
    b.push(packet.length, 0);
    run(this.#datapath, b, this.#now++);
    const verdict = b.p[P_VERDICT]!;
    if (verdict === VERDICT_REPLY) return 'reject';
    if (verdict < 0) return `drop ${DROP_REASONS[-verdict]?.[0]}`;
    if (verdict !== VERDICT_FORWARD) return `verdict ${verdict}`;
    return readPacket(new DataView(b.view.buffer, b.p[P_IP]!, b.p[P_LENGTH]! - VNET_HEADER_BYTES));
  }
}

function put(tables: Tables, object: Manifest): void {
  if (object.kind === 'Service') tables.putService(readService(object as Service));
  else if (object.kind === 'EndpointSlice')
    tables.putSlice(readSlice(object as EndpointSlice), null);
  else if (object.kind === 'Node') tables.putNode(readNode(object as Node));
  else throw new Error(`nothing is compiled from a ${object.kind}`);
}
