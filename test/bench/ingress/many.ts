// Many Ingresses: from a change to the first request on it, memory, and size of the configuration.
import type { KubeKinds } from '../../../control/kube/kinds.ts';
import { INGRESS_DEPLOYMENT } from '../../../lab/supervisor/ingress.ts';
import { ingress } from '../../support/ingress/world.ts';
import { NODE, type TestLab, until } from '../../support/lab.ts';
import { addPercentiles, type Figures } from '../pace/figures.ts';
import { nowMs } from '../pace/talk.ts';

const PATHS = 5;
const AT_ONCE = 15;
const CHANGES = 50;
const READY_MS_MAX = 120_000;
const POLLER = new URL('./poll-process.ts', import.meta.url).pathname;

type Ingress = KubeKinds['Ingress'];

function numbered(i: number, extra = -1): Ingress {
  const paths = Array.from({ length: PATHS }, (_, p) => [`Prefix /path-${p}`, 'web']);
  if (extra >= 0) paths.push([`Prefix /change-${extra}`, 'web']);
  const rules = { [`host-${i}.bench.test`]: Object.fromEntries(paths) };
  return ingress(`many-${i}`, { rules }) as Ingress;
}

export async function measureMany(
  lab: TestLab,
  address: string,
  count: number,
  figures: Figures,
): Promise<void> {
  const of = `${count} Ingresses of ${PATHS} paths`;
  const startMs = nowMs();
  await createAll(lab, count);
  const { child, done } = lab.start('internet', [
    ...[NODE, '--disable-warning=ExperimentalWarning', POLLER, address],
  ]);
  const ask = (host: string, path: string): Promise<number> =>
    new Promise((resolve) => {
      child.stdout!.once('data', (text: string) => resolve(Number(text)));
      child.stdin!.write(`${host} ${path}\n`);
    });
  figures.add(
    `${of} are created and served`,
    'ms',
    (await ask(hostOf(count - 1), '/path-0')) - startMs,
  );
  const times: number[] = [];
  for (let i = 0; i < CHANGES; i++) {
    const target = (i * 37) % count;
    const served = ask(hostOf(target), `/change-${i}`);
    const sentMs = nowMs();
    const { spec } = numbered(target, i);
    await lab.kube.patch('Ingress', { namespace: 'default', name: `many-${target}` }, { spec });
    times.push((await served) - sentMs);
  }
  child.stdin!.end();
  await done;
  addPercentiles(figures, `a changed path to its first request, ${of}`, times);
  await measureSizes(lab, of, figures);
}

const hostOf = (i: number) => `host-${i}.bench.test`;

async function createAll(lab: TestLab, count: number): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < count) await lab.kube.create('Ingress', numbered(next++));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}

/** Of one pod of the controller: resident memory, and the files that HAProxy loads. */
async function measureSizes(lab: TestLab, of: string, figures: Figures): Promise<void> {
  const { namespace } = INGRESS_DEPLOYMENT;
  const { items } = await lab.kube.list('Pod', { namespace });
  const target = `${namespace}/${items[0]!.metadata!.name}`;
  const script = [
    'for p in /proc/[0-9]*; do',
    'echo "$(tr "\\0" " " <$p/cmdline) $(grep -s VmRSS $p/status)"; done',
  ].join(' ');
  let text = '';
  await until(
    'only one worker of HAProxy is left',
    async () => {
      text = await lab.run(target, 'sh', '-c', script);
      return text.split('\n').filter((line) => /^haproxy /.test(line)).length <= 2;
    },
    READY_MS_MAX,
  ).catch(() => {});
  const megabytes = (pattern: RegExp) => {
    const lines = text.split('\n').filter((line) => pattern.test(line));
    const sizes = lines.map((line) => Number(/VmRSS:\s+(\d+)/.exec(line)?.[1] ?? 0));
    return Math.max(...sizes) / 1000;
  };
  figures.add(`memory of the controller, ${of}`, 'MB', megabytes(/controller\/main\.ts/));
  figures.add(`memory of HAProxy, ${of}`, 'MB', megabytes(/^haproxy /));
  const size = await lab.run(target, 'sh', '-c', 'cat /run/ingress/current/*.* | wc -c');
  figures.add(`configuration, ${of}`, 'kB', Number(size) / 1000);
}
