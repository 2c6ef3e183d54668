// After random changes in any order, slices equal a naive computation from all pods.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Endpoint, SlicePort } from '../../../../control/controllers/endpoints/desired.ts';
import type { KubeObject } from '../../../../control/kube/object.ts';
import { node, pod, ready, service, slicesOf, startWorld } from './world.ts';

const ZONE = 'topology.kubernetes.io/zone';
const ENDPOINTS_MAX = 100;

const podName = fc.integer({ min: 0, max: 5 }).map((i) => `p${i}`);
const serviceName = fc.constantFrom('s0', 's1', 's2');
const nodeName = fc.constantFrom('node1', 'node2');
const labels = fc.record({ app: fc.constantFrom('a', 'b'), tier: fc.constantFrom('x', 'y') });
const selector = fc.oneof(
  fc.constant(null),
  fc.record(
    { app: fc.constantFrom('a', 'b'), tier: fc.constantFrom('x', 'y') },
    { requiredKeys: [] },
  ),
);

type World = ReturnType<typeof startWorld>;

const step: fc.Arbitrary<(world: World) => void> = fc.oneof(
  fc
    .tuple(podName, labels, nodeName, fc.constantFrom(80, 81))
    .map(([name, labels, nodeName, containerPort]) => (world: World) => {
      if (world.get('Pod', name)) return;
      const ports = [{ name: 'http', containerPort }];
      const spec = { nodeName, containers: [{ name: 'c', image: 'i', ports }] };
      world.create('Pod', pod(name, spec, { labels }));
    }),
  fc
    .tuple(podName, fc.boolean(), fc.integer({ min: 1, max: 9 }))
    .map(([name, isReady, host]) => (world: World) => {
      if (!world.get('Pod', name)) return;
      world.patchStatus('Pod', name, ready(isReady, { podIP: `10.1.0.${host}` }));
    }),
  fc.tuple(podName, labels).map(([name, labels]) => (world: World) => {
    if (world.get('Pod', name)) world.patch('Pod', name, { metadata: { labels } });
  }),
  fc.tuple(podName, fc.boolean()).map(([name, graceful]) => (world: World) => {
    if (world.get('Pod', name)) world.remove('Pod', name, { graceful });
  }),
  fc
    .tuple(serviceName, selector, fc.boolean())
    .map(([name, selector, publishNotReadyAddresses]) => (world: World) => {
      const spec = { selector, publishNotReadyAddresses };
      if (world.get('Service', name)) world.patch('Service', name, { spec });
      else {
        const ports = [{ port: 80, targetPort: 'http' }];
        const chosen = selector ?? undefined;
        world.create('Service', service(name, { ...spec, ports, selector: chosen }));
      }
    }),
  serviceName.map((name) => (world: World) => {
    if (world.get('Service', name)) world.remove('Service', name);
  }),
  fc.tuple(nodeName, fc.constantFrom('a', 'b')).map(([name, zone]) => (world: World) => {
    const labels = { [ZONE]: zone };
    if (world.get('Node', name)) world.patch('Node', name, { metadata: { labels } });
    else world.create('Node', node(name, labels));
  }),
  fc.nat().map((n) => (world: World) => {
    const slices = world.list('EndpointSlice');
    const slice = slices[n % slices.length];
    if (slice) world.patch('EndpointSlice', slice.metadata.name, { endpoints: [] });
  }),
);

/** A line for each endpoint of a Service, sorted, with all fields that slices have. */
function naive(world: World, { metadata, spec }: KubeObject): string[] {
  const wanted = Object.entries((spec.selector ?? {}) as Record<string, string>);
  if (wanted.length === 0) return [];
  const lines = world.list('Pod').flatMap((pod) => {
    if (!pod.status.podIP) return [];
    if (!wanted.every(([key, value]) => pod.metadata.labels?.[key] === value)) return [];
    const serving = pod.status.conditions.some((c: { status: string }) => c.status === 'True');
    const terminating = pod.metadata.deletionTimestamp !== undefined;
    const isReady = spec.publishNotReadyAddresses === true || (serving && !terminating);
    const zone = world.get('Node', pod.spec.nodeName)?.metadata.labels?.[ZONE];
    const port = pod.spec.containers[0].ports[0].containerPort;
    const { name, uid } = pod.metadata;
    const about = [name, uid, pod.status.podIP, pod.spec.nodeName, zone, port];
    return [[...about, isReady, serving, terminating, metadata.uid].join(' ')];
  });
  return lines.sort();
}

function told(slices: KubeObject[]): string[] {
  const lines = slices.flatMap(({ metadata, endpoints, ports }) =>
    (endpoints as Endpoint[]).map((e) => {
      const { ready: isReady, serving, terminating } = e.conditions;
      const [port] = ports as SlicePort[];
      const about = [e.targetRef.name, e.targetRef.uid, e.addresses[0], e.nodeName, e.zone];
      const owner = metadata.ownerReferences?.[0]?.uid;
      return [...about, port?.port, isReady, serving, terminating, owner].join(' ');
    }),
  );
  return lines.sort();
}

function check(world: World): void {
  for (const name of ['s0', 's1', 's2']) {
    const service = world.get('Service', name);
    const slices = slicesOf(world, name);
    assert.deepEqual(told(slices), service ? naive(world, service) : []);
    const isChoosing = Object.keys(service?.spec.selector ?? {}).length > 0;
    assert.equal(slices.length > 0, isChoosing, `${name} has ${slices.length} slices`);
    for (const { endpoints } of slices) {
      assert.ok((endpoints as Endpoint[]).length <= ENDPOINTS_MAX);
    }
  }
}

test('slices equal a naive computation after any steps', async () => {
  const steps = fc.array(fc.tuple(step, fc.boolean()), { minLength: 1, maxLength: 60 });
  const property = fc.asyncProperty(steps, async (steps) => {
    const world = startWorld();
    try {
      for (const [take, isSettled] of steps) {
        take(world);
        if (!isSettled) continue;
        await world.idle();
        check(world);
      }
      await world.idle();
      check(world);
    } finally {
      world.controllers.stop();
    }
  });
  await fc.assert(property, { numRuns: 200 });
});
