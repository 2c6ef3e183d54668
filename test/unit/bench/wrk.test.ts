import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readLoad } from '../../bench/ingress/wrk.ts';

const CLEAN = `Running 2s test @ http://127.0.0.1/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     4.20ms    1.10ms  20.10ms   80.00%
    Req/Sec     7.60k   500.00     8.60k    70.00%
  Latency Distribution
     50%    3.90ms
     75%    4.50ms
     90%  900.00us
     99%    1.02s
  15120 requests in 2.01s, 2.10MB read
Requests/sec:   7522.39
Transfer/sec:      1.04MB
`;

test('reads rate, count and latencies of wrk in ms', () => {
  const { why, ...load } = readLoad(CLEAN);
  assert.deepEqual(load, {
    ...{ perSecond: 7522.39, requests: 15_120, p50Ms: 3.9, p99Ms: 1020, failed: 0 },
  });
  assert.equal(why, '');
});

test('counts broken connections, missing answers and refusals as failed', () => {
  const text = CLEAN.replace(
    'Requests/sec',
    `  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 20
Requests/sec`,
  );
  const { failed, why } = readLoad(text);
  assert.equal(failed, 30);
  assert.match(why, /^Socket errors: connect 1, .*, 20 refused$/);
});
