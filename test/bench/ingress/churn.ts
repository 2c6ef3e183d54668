// Endpoints roll, routes change and certificates rotate while requests pass.
import { setTimeout } from 'node:timers/promises';
import { ingress } from '../../support/ingress/world.ts';
import type { TestLab } from '../../support/lab.ts';
import { certificateOf, HOST } from './world.ts';
import { type Load, load } from './wrk.ts';

export interface Churned {
  http: Load;
  https: Load;
  changes: number;
}

const ROUTES_MS = 1000;
const CERTIFICATE_MS = 2000;
const ROLL_MS = 10_000;

/** Two loads for some seconds, HTTP and HTTPS, with changes beside them. */
export async function churn(
  lab: TestLab,
  address: string,
  seconds: number,
  folder: string,
): Promise<Churned> {
  const end = new AbortController();
  let changes = 0;
  const every = async (pauseMs: number, change: (i: number) => Promise<unknown>) => {
    for (let i = 0; !end.signal.aborted; i++) {
      await change(i);
      changes++;
      await setTimeout(pauseMs, null, { signal: end.signal }).catch(() => {});
    }
  };
  const namespace = 'default';
  const place = { namespace, name: 'web' };
  const beside = Promise.all([
    every(ROUTES_MS, (i) => {
      const rules = { [HOST]: { 'Prefix /': 'web', [`Prefix /path-${i}`]: 'web' } };
      const { spec } = ingress('web', { rules }) as { spec: object };
      return lab.kube.patch('Ingress', place, { spec });
    }),
    every(CERTIFICATE_MS, () => {
      const { data } = certificateOf(folder) as { data: object };
      return lab.kube.patch('Secret', { namespace, name: 'bench-tls' }, { data });
    }),
    every(ROLL_MS, (i) => {
      const annotations = { 'bench/roll': String(i) };
      return lab.kube.patch('Deployment', place, {
        spec: { template: { metadata: { annotations } } },
      });
    }),
  ]);
  try {
    const [http, https] = await Promise.all([
      load(lab, `http://${address}/`, seconds),
      load(lab, `https://${address}/`, seconds),
    ]);
    return { http, https, changes };
  } finally {
    end.abort();
    await beside;
  }
}
