// Informers with failures: connections are cut, the server is killed and restarted, versions are
// compacted. No informer loses an event, gets one twice, or lists without need. KUBETUN_INFORMER_S
// is the duration in seconds (default: 40).
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { connectKube, type KubeClient } from '../../../control/kube/client.ts';
import { NODE, until } from '../../support/lab.ts';
import {
  keyOf,
  OBSERVED,
  type ObservedKind,
  type Observer,
  observeOfficially,
  observeOurs,
  versionOf,
} from './observers.ts';
import { RoughRoad } from './rough-road.ts';

const SECONDS = Number(process.env.KUBETUN_INFORMER_S ?? 40);
const OBJECTS = 40;
const WRITE_MS = 8;
const CUT_MS = 700;
const RESTART_MS = 6000;
/** In this time more changes are written than the server keeps. */
const HOLD_MS = 600;
const FLAGS = ['--disable-warning=ExperimentalWarning'];
const PROCESS = new URL('./api-process.ts', import.meta.url).pathname;

/** Numbers from 0 to 1, the same in every run; mulberry32. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** The server's last acknowledgement about an object, and whether a later request had no answer. */
interface Known {
  version: number;
  deleted: boolean;
  unsure: boolean;
}

class Writer {
  readonly known = new Map<string, Known>();
  acknowledged = 0;
  readonly #kube: KubeClient;
  readonly #random: () => number;
  #stopped = false;

  constructor(kube: KubeClient, random: () => number) {
    this.#kube = kube;
    this.#random = random;
  }

  async run(): Promise<void> {
    for (let turn = 1; !this.#stopped; turn++) {
      await this.#write(turn);
      await new Promise((resolve) => setTimeout(resolve, WRITE_MS));
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  async #write(turn: number): Promise<void> {
    const kind = this.#random() < 0.7 ? 'ConfigMap' : 'Service';
    const name = `o${Math.floor(this.#random() * OBJECTS)}`;
    const place = { namespace: 'default', name };
    const key = `${kind} default/${name}`;
    const known = this.known.get(key) ?? { version: 0, deleted: true, unsure: false };
    this.known.set(key, known);
    try {
      if (known.deleted)
        known.version = versionOf(await this.#kube.create(kind, bodyOf(kind, place) as never));
      else if (this.#random() < 0.2) await this.#kube.delete(kind, place);
      else {
        const patch = { metadata: { annotations: { turn: String(turn) } } };
        known.version = versionOf(await this.#kube.patch(kind, place, patch));
        this.acknowledged++;
        known.unsure = false;
        return;
      }
      known.deleted = !known.deleted;
      known.unsure = false;
      this.acknowledged++;
    } catch {
      // The server is away, or was before its answer: the write may have happened.
      known.unsure = true;
      await this.#look(kind, place, known);
    }
  }

  /** Reads the state of an uncertain object once the server answers again. */
  async #look(
    kind: 'ConfigMap' | 'Service',
    place: { namespace: string; name: string },
    known: Known,
  ) {
    try {
      known.version = versionOf(await this.#kube.get(kind, place));
      known.deleted = false;
    } catch (error) {
      if ((error as { code?: number }).code === 404 || /not found/.test(String(error)))
        known.deleted = true;
    }
  }
}

function bodyOf(kind: string, metadata: object): object {
  if (kind === 'ConfigMap') return { metadata, data: { a: 'b' } };
  return { metadata, spec: { selector: { app: 'x' }, ports: [{ port: 80 }] } };
}

class Api {
  restarts = -1;
  port = 0;
  readonly #folder: string;
  #child: ChildProcess | null = null;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async start(): Promise<void> {
    const child = spawn(NODE, [...FLAGS, PROCESS, this.#folder, String(this.port)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#child = child;
    const [text] = (await once(child.stdout!, 'data')) as [Buffer];
    this.port = Number(text.toString());
    this.restarts++;
  }

  async kill(): Promise<void> {
    const gone = once(this.#child!, 'exit');
    this.#child!.kill('SIGKILL');
    await gone;
  }
}

test('informers lose no event, get none twice and list only when they must', {
  timeout: (SECONDS + 90) * 1000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kubetun-informers-'));
  const random = seeded(20_261_123);
  const api = new Api(folder);
  await api.start();
  const { road, port } = await RoughRoad.open(() => api.port);
  const direct = join(folder, 'kubeconfig');
  const rough = join(folder, 'rough');
  writeFileSync(rough, readFileSync(direct, 'utf8').replace(`:${api.port}`, `:${port}`));
  const kube = connectKube(direct);
  const writer = new Writer(kube, random);
  const observers = OBSERVED.flatMap((kind) => [
    observeOfficially(rough, kind),
    observeOurs(rough, kind),
  ]);
  const cutter = setInterval(() => road.cut(0.4, random), CUT_MS);
  try {
    const writing = writer.run();
    const end = Date.now() + SECONDS * 1000;
    while (Date.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, RESTART_MS));
      // Clients receive nothing until the server has dropped the changes that are written now.
      road.hold(true);
      await new Promise((resolve) => setTimeout(resolve, HOLD_MS));
      await api.kill();
      road.cut(1, random);
      road.hold(false);
      await api.start();
    }
    writer.stop();
    await writing;
    clearInterval(cutter);
    const final = new Map<ObservedKind, Map<string, number>>();
    for (const kind of OBSERVED) {
      const { items } = await kube.list(kind);
      final.set(kind, new Map(items.map((object) => [keyOf(object), versionOf(object)])));
    }
    for (const observer of observers) {
      await until(`${observer.name} has the server's objects`, () =>
        sameMap(observer.picture(), final.get(observer.kind)!),
      );
    }
    t.diagnostic(
      `${writer.acknowledged} writes acknowledged in ${SECONDS} s; ${road.cuts} connections cut, ${api.restarts} restarts after SIGKILL`,
    );
    for (const { name, lists, gone, events } of observers) {
      const told = [...events.values()].reduce((sum, list) => sum + list.length, 0);
      t.diagnostic(`${name}: ${told} events, ${lists} lists, ${gone} times 410`);
    }
    checkAcknowledged(writer, final);
    const gone = observers.reduce((sum, observer) => sum + observer.gone, 0);
    assert.ok(gone > 0, 'some of them had to list again');
    for (const observer of observers) {
      checkEvents(observer);
      // Once at its start, and once for each time that its version was too old.
      assert.ok(
        observer.lists <= 1 + 2 * api.restarts,
        `${observer.name} listed ${observer.lists} times`,
      );
    }
  } finally {
    clearInterval(cutter);
    for (const observer of observers) observer.stop();
    road.close();
    kube.close();
    await api.kill();
    rmSync(folder, { recursive: true });
  }
});

/** No acknowledged write is lost when the server dies. */
function checkAcknowledged(writer: Writer, final: Map<ObservedKind, Map<string, number>>): void {
  for (const [name, { version, deleted, unsure }] of writer.known) {
    if (unsure) continue;
    const [kind, key] = name.split(' ') as [ObservedKind, string];
    const there = final.get(kind)!.get(key);
    if (deleted) assert.equal(there, undefined, `${name} was deleted`);
    else assert.equal(there, version, `${name} has the acknowledged version`);
  }
}

/** Versions of an object only grow, and a deletion comes once. */
function checkEvents({ name, events }: Observer): void {
  for (const [key, versions] of events) {
    let last = 0;
    let gone = true;
    for (const version of versions) {
      if (version === 0) {
        assert.ok(!gone, `${name}: ${key} was deleted twice`);
        gone = true;
        continue;
      }
      assert.ok(version > last, `${name}: ${key} went from ${last} to ${version}`);
      last = version;
      gone = false;
    }
  }
}

function sameMap(a: Map<string, number>, b: Map<string, number>): boolean {
  return a.size === b.size && [...a].every(([key, value]) => b.get(key) === value);
}
