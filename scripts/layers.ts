// Checks what the compiler cannot: which layer may import which, no import cycles, file sizes.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const LINES_MAX = 400;
const TEST_LINES_MAX = 600;

/** What control and lab may see of the datapath: the contract, never the hot path. */
const DATAPATH_DOOR = [
  /^datapath\/(error|backoff|steps)\.ts$/,
  /^datapath\/arena\//,
  /^datapath\/flow\/timeouts\.ts$/,
  /^datapath\/image\/(image|policy-reader|reader|writer)\.ts$/,
  /^datapath\/policy\/policy\.ts$/,
  /^datapath\/observe\//,
  /^datapath\/worker\/engine\.ts$/,
  /^datapath\/io\/(sys|netns|tun|netlink)\.ts$/,
  /^datapath\/wire\/(address|layout|ranges)\.ts$/,
];

/** Hot folders: pure, so no Node module may be imported there. */
const PURE = /^datapath\/(wire|flow|image|services|policy|pipeline)\//;

function refusal(from: string, to: string): string | null {
  if (PURE.test(from) && to.startsWith('node:')) return 'the hot path is pure: no Node modules';
  if (PURE.test(from) && /^datapath\/(io|worker)\//.test(to)) return 'the core does no I/O';
  if (to.startsWith('node:') || to.startsWith('pkg:')) {
    const kube = to.startsWith('pkg:@kubernetes/client-node');
    return kube && !/^(control\/kube|test)\//.test(from)
      ? 'the Kubernetes client is imported in control/kube only'
      : null;
  }
  const layer = from.split('/')[0];
  if (layer === 'datapath' && !to.startsWith('datapath/')) return 'datapath stands alone';
  if (layer === 'control' && /^(lab|test|scripts)\//.test(to)) return 'control knows no lab';
  if (layer === 'lab' && /^(test|scripts)\//.test(to)) return 'lab knows no tests';
  if ((layer === 'control' || layer === 'lab') && to.startsWith('datapath/')) {
    if (!DATAPATH_DOOR.some((d) => d.test(to))) return 'only the datapath contract may be imported';
  }
  return null;
}

function sources(): string[] {
  return ['datapath', 'control', 'lab', 'scripts', 'test'].flatMap((top) =>
    readdirSync(join(root, top), { recursive: true, encoding: 'utf8' })
      .filter((f) => f.endsWith('.ts'))
      .map((f) => join(top, f)),
  );
}

function importsOf(file: string, text: string): { to: string; typeOnly: boolean }[] {
  const found: { to: string; typeOnly: boolean }[] = [];
  const pattern = /^\s*(?:import|export)\s+(type\s)?[^'";]*?from\s+'([^']+)'|import\('([^']+)'\)/gm;
  for (const m of text.matchAll(pattern)) {
    const spec = (m[2] ?? m[3])!;
    const to = spec.startsWith('.')
      ? normalize(join(dirname(file), spec))
      : spec.startsWith('node:')
        ? spec
        : `pkg:${spec}`;
    found.push({ to, typeOnly: m[1] !== undefined || m[3] !== undefined });
  }
  return found;
}

const problems: string[] = [];
const graph = new Map<string, string[]>();
for (const file of sources()) {
  const text = readFileSync(join(root, file), 'utf8');
  const lines = text.split('\n').length - 1;
  const limit = file.startsWith('test/') ? TEST_LINES_MAX : LINES_MAX;
  if (lines > limit) problems.push(`${file}: ${lines} lines, the limit is ${limit}`);
  const edges = importsOf(file, text);
  for (const { to } of edges) {
    const why = refusal(file, to);
    if (why) problems.push(`${file} imports ${to}: ${why}`);
  }
  graph.set(
    file,
    edges.filter((e) => !e.typeOnly && e.to.endsWith('.ts')).map((e) => e.to),
  );
}

const state = new Map<string, 'open' | 'done'>();
function visit(file: string, path: string[]): void {
  if (state.get(file) === 'done') return;
  if (state.get(file) === 'open') {
    problems.push(`import cycle: ${[...path.slice(path.indexOf(file)), file].join(' -> ')}`);
    return;
  }
  state.set(file, 'open');
  for (const to of graph.get(file) ?? []) visit(to, [...path, file]);
  state.set(file, 'done');
}
for (const file of graph.keys()) visit(file, []);

for (const p of problems) console.error(p);
console.log(`layers: ${graph.size} files, ${problems.length} problems`);
process.exit(problems.length === 0 ? 0 : 1);
