// Policies with a long compile: other work continues, and no partial result is published.
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import type { MonotonicClock } from '../../../../control/clock.ts';
import { readNetworkPolicy } from '../../../../control/model/network-policy.ts';
import { readNode } from '../../../../control/model/node.ts';
import { readPolicyPod } from '../../../../control/model/pod.ts';
import { readService } from '../../../../control/model/service.ts';
import { Tables } from '../../../../control/model/tables.ts';
import { Publisher } from '../../../../control/sync/publisher.ts';
import { formatAddress } from '../../../../datapath/wire/address.ts';
import { RANGES } from '../compile/world.ts';
import { node, service } from '../model/objects.ts';
import { FakeSink, fakeLog } from './fake-sink.ts';

const TURNS_MAX = 10_000;

/** Every read takes 20 ms, so that a slice of work is one step. Runs one call a turn, in order. */
class SlowClock implements MonotonicClock {
  #monotonicMs = 0;
  #calls: (() => void)[] = [];

  monotonicMs(): number {
    this.#monotonicMs += 20;
    return this.#monotonicMs;
  }

  after(_ms: number, call: () => void): () => void {
    this.#calls.push(call);
    return () => {
      this.#calls = this.#calls.filter((other) => other !== call);
    };
  }

  /** Runs one waiting call. False if there is none. */
  turn(): boolean {
    const call = this.#calls.shift();
    call?.();
    return call !== undefined;
  }

  /** Runs turns until a condition is true, and returns their number. */
  until(isSo: () => boolean): number {
    for (let turns = 0; turns < TURNS_MAX; turns++) {
      if (isSo()) return turns;
      assert.ok(this.turn(), 'a call is waiting');
    }
    throw new Error(`not so after ${TURNS_MAX} turns`);
  }
}

let clock: SlowClock;
let tables: Tables;
let sink: FakeSink;
let publisher: Publisher;

beforeEach(() => {
  clock = new SlowClock();
  tables = new Tables('n1');
  sink = new FakeSink();
  tables.putNode(readNode(node('n1', '172.18.0.11')));
  tables.policy.putNamespace({ name: 'ns', labels: {} });
  const [log, sources] = [fakeLog(), ['NetworkPolicy']];
  const options = { nodeName: 'n1', ranges: RANGES, tables, sink, sources, clock, log };
  publisher = new Publisher(options);
});

function putPod(name: string, podIP: string): void {
  const status = { phase: 'Running', podIP, hostIP: '172.18.0.11' };
  const metadata = { namespace: 'ns', name, uid: name, labels: { app: 'web' } };
  tables.policy.putPod(readPolicyPod({ metadata, status })!);
}

function putService(name: string): void {
  tables.putService(readService(service(name)));
}

/** A policy for the pods of `app`, with many blocks. */
function putPolicy(name: string, app = 'web'): void {
  const to = Array.from({ length: 20_000 }, (_, n) => ({
    ipBlock: { cidr: `${formatAddress((1 << 28) | (n * 77))}/32` },
  }));
  const spec = { podSelector: { matchLabels: { app } }, policyTypes: ['Egress'], egress: [{ to }] };
  tables.policy.putPolicy(readNetworkPolicy({ metadata: { namespace: 'ns', name }, spec }));
}

/** The pods that the last published policies isolate, by the last byte of their addresses. */
const isolated = () => {
  const pods = sink.policies.at(-1)?.pods ?? [];
  return pods.filter(({ egress }) => egress > 0).map(({ address }) => address & 0xff);
};

function start(): void {
  publisher.sourceSynced('NetworkPolicy');
  clock.until(() => publisher.published);
}

test('the first image waits for policies that take many turns, and contains them', () => {
  putPod('a', '10.244.1.2');
  putPolicy('large');
  publisher.sourceSynced('NetworkPolicy');
  assert.ok(clock.until(() => sink.publishes > 0) > 20, 'the work is in many slices');
  assert.equal(sink.policies[0]?.rules?.prefixes.length, 20_000);
  assert.deepEqual(isolated(), [2]);
});

test('a Service is published while policies are being compiled', () => {
  start();
  putPolicy('large');
  publisher.changed();
  clock.turn();
  putService('a');
  publisher.changed();
  clock.until(() => sink.mirror.services.size === 1);
  assert.equal(sink.policies.length, 1, 'the policies come later');
  assert.equal(publisher.progress.pendingSinceMs === null, false, 'and count as pending');
  clock.until(() => sink.policies.length === 2);
  assert.equal(sink.policies[1]?.rules?.prefixes.length, 20_000);
  clock.until(() => publisher.progress.pendingSinceMs === null);
});

test('a change during a compile is part of the next compile, which starts by itself', () => {
  putPod('a', '10.244.1.2');
  putPolicy('large');
  start();
  putPolicy('second');
  publisher.changed();
  clock.turn();
  clock.turn();
  putPod('b', '10.244.1.3');
  tables.policy.deletePod('ns/a');
  putPolicy('large', 'other');
  publisher.changed();
  clock.until(() => sink.policies.length === 2);
  assert.deepEqual(isolated(), [2], 'a consistent, older state');
  clock.until(() => sink.policies.length === 3);
  assert.deepEqual(isolated(), [3]);
  assert.equal(tables.policy.clean, true);
});

test('compiles nothing after a stop', () => {
  start();
  putPolicy('large');
  publisher.changed();
  clock.turn();
  publisher.stop();
  assert.equal(clock.turn(), false);
});
