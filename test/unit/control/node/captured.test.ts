import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CapturedRoutes } from '../../../../control/node/captured.ts';
import {
  FRONTEND_CLUSTER,
  FRONTEND_EXTERNAL,
  FRONTEND_LOADBALANCER,
  type FrontendEntry,
  type ImageChange,
  type NodeEntry,
} from '../../../../datapath/image/image.ts';
import { parseAddress } from '../../../../datapath/wire/address.ts';

function frontend(address: string, kind: number, port = 80): FrontendEntry {
  return { address: parseAddress(address)!, port, proto: 6, kind, serviceId: 1 };
}

function change(add: FrontendEntry[], remove: FrontendEntry[] = [], nodes?: string[]): ImageChange {
  const node = nodes ? ({ nodeAddresses: nodes.map((a) => parseAddress(a)!) } as NodeEntry) : null;
  return { node, upsert: [], remove: [], addFrontends: add, removeFrontends: remove };
}

const ADD = 'route replace 192.0.2.1 dev kt0 src 172.18.0.11 table 101';
const DELETE = 'route del 192.0.2.1 dev kt0 table 101';

test('adds a route after the first frontend of an address, deletes it before the last one', () => {
  const routes = new CapturedRoutes('kt0', '172.18.0.11', []);
  const one = frontend('192.0.2.1', FRONTEND_EXTERNAL);
  const two = frontend('192.0.2.1', FRONTEND_LOADBALANCER, 81);
  assert.deepEqual(routes.take(change([one])), { before: [], after: [ADD] });
  assert.deepEqual(routes.take(change([two])), { before: [], after: [] });
  assert.deepEqual(routes.take(change([], [one])), { before: [], after: [] });
  assert.deepEqual(routes.take(change([], [two])), { before: [DELETE], after: [] });
});

test('a frontend that moves to another Service keeps its route', () => {
  const routes = new CapturedRoutes('kt0', '172.18.0.11', []);
  const one = frontend('192.0.2.1', FRONTEND_EXTERNAL);
  routes.take(change([one]));
  assert.deepEqual(routes.take(change([{ ...one, serviceId: 2 }], [one])), {
    before: [],
    after: [],
  });
});

test('ClusterIPs and addresses of nodes have no route', () => {
  const routes = new CapturedRoutes('kt0', '172.18.0.11', []);
  const cluster = frontend('10.96.0.5', FRONTEND_CLUSTER);
  const external = frontend('192.0.2.1', FRONTEND_EXTERNAL);
  assert.deepEqual(routes.take(change([cluster, external], [], ['192.0.2.1'])).after, []);
  assert.deepEqual(routes.take(change([], [], ['172.18.0.11'])).after, [ADD]);
  assert.deepEqual(routes.take(change([], [], ['192.0.2.1'])).before, [DELETE]);
});

test('keeps wanted routes of an earlier agent, and deletes others with the first image', () => {
  const routes = new CapturedRoutes('kt0', '172.18.0.11', ['192.0.2.1', '192.0.2.9']);
  assert.deepEqual(routes.take(change([frontend('192.0.2.1', FRONTEND_EXTERNAL)])), {
    before: ['route del 192.0.2.9 dev kt0 table 101'],
    after: [],
  });
});
