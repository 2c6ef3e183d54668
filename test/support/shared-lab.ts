// One lab for several end-to-end files, one after the other. Each file gets it without the objects
// of the others. A file that runs alone brings up a lab of its own.
import assert from 'node:assert/strict';
import { SERVED } from '../../control/apiserver/verbs/kinds.ts';
import { KINDS, type KubeKind, type KubeKinds } from '../../control/kube/kinds.ts';
import { startLab, TestLab, until } from './lab.ts';

/** Variable with the name of the shared lab. scripts/e2e.ts sets it. */
export const SHARED_LAB = 'KUBETUN_TEST_LAB';

type Manifest = KubeKinds[KubeKind] & { kind: KubeKind };
interface Found {
  kind: KubeKind;
  name: string;
  namespace: string | undefined;
}

/** Kinds of which the lab makes objects at any time. */
const OF_THE_LAB = new Set<KubeKind>(['Event', 'Lease']);
const KINDS_OF_FILES = SERVED.map(({ kind }) => kind as KubeKind).filter(
  (kind) => !OF_THE_LAB.has(kind),
);

/**
 * A lab of two nodes with these objects, for files that change nothing but objects of their own:
 * no process, link, node or rule of the lab. `down` removes every object that the file has made.
 */
export async function takeLab(name: string, objects: object[]): Promise<TestLab> {
  const shared = process.env[SHARED_LAB];
  if (shared === undefined) return startLab(name, objects);
  const lab = new SharedLab(shared, await findObjects(new TestLab(shared)));
  for (const { kind, metadata, ...rest } of objects as Manifest[]) {
    const namespace = KINDS[kind].namespaced ? 'default' : undefined;
    await lab.kube.create(kind, { ...rest, metadata: { namespace, ...metadata } });
  }
  await until('the pods are ready', async () => {
    const { items } = await lab.kube.list('Pod');
    return items.every(({ status }) =>
      status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'),
    );
  });
  return lab;
}

class SharedLab extends TestLab {
  readonly #before: Map<string, Found>;

  constructor(name: string, before: Map<string, Found>) {
    super(name);
    this.#before = before;
  }

  override async down(): Promise<void> {
    await until('only the objects of the lab are left', async () => {
      const left = [...(await findObjects(this))].filter(([key]) => !this.#before.has(key));
      for (const [, { kind, name, namespace }] of left) {
        // It may have been deleted with its owner or its namespace.
        await this.kube.delete(kind, { name, namespace }, { graceS: 0 }).catch(() => {});
      }
      return left.length === 0;
    });
    const now = await findObjects(this);
    assert.deepEqual([...now.keys()], [...this.#before.keys()], 'the lab is as it was');
    this.kube.close();
  }
}

async function findObjects({ kube }: TestLab): Promise<Map<string, Found>> {
  const found = await Promise.all(
    KINDS_OF_FILES.map(async (kind) => {
      const { items } = await kube.list(kind);
      return items.map(({ metadata }): [string, Found] => {
        const { name, namespace } = metadata!;
        return [`${kind} ${namespace}/${name}`, { kind, name: name!, namespace }];
      });
    }),
  );
  return new Map(found.flat().sort());
}
