// Checks what the compiler cannot: the order of folders, import cycles, purity, sizes and widths.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

/** The tree to check: this one, or an argument. */
const root = process.argv[2] ?? join(import.meta.dirname, '..');
const TOPS = ['datapath', 'control', 'lab', 'scripts', 'test'];
const LINES_MAX = 400;
const TEST_LINES_MAX = 600;
const COLUMNS_MAX = 100;
const FOLDER_FILES_MAX = 25;

/** Each folder may import itself and the folders above it in this list, types included. */
const ORDER = `
  datapath  datapath/wire  datapath/io  datapath/arena  datapath/flow  datapath/policy
  datapath/image  datapath/services  datapath/pipeline  datapath/merge  datapath/observe
  datapath/worker
  control  control/serve  control/kube  control/model  control/compile
  control/policy  control/sync  control/node  control/nftables  control/health
  control/balancers  control/agent  control/gateway  control/dns  control/ingress
  control/ingress/controller  control/explain
  control/apiserver  control/apiserver/store  control/apiserver/validate
  control/apiserver/admit  control/apiserver/apply  control/apiserver/verbs
  control/apiserver/present  control/apiserver/http
  control/controllers  control/controllers/endpoints  control/controllers/scheduler
  control/controllers/nodes  control/controllers/loadbalancer  control/controllers/replicaset
  control/controllers/deployment  control/controllers/statefulset
  control/controllers/daemonset  control/controllers/job  control/controllers/claims
  control/cluster  control/cli
  lab/places  lab/host  lab/yaml  lab/topology  lab/state  lab/logs  lab/plan
  lab/pods/given  lab/pods/sandbox  lab/pods/action  lab/pods/probe  lab/pods/status
  lab/pods/container  lab/pods/stream  lab/pods  lab/supervisor  lab/life  lab/apps  lab/cli
  test  scripts
`
  .trim()
  .split(/\s+/);

/** What control and lab may see of the datapath: the contract, never the hot path. */
const DATAPATH_DOOR = [
  /^datapath\/[a-z]+\.ts$/,
  /^datapath\/arena\//,
  /^datapath\/flow\/timeouts\.ts$/,
  /^datapath\/image\/(image|reader|policy-reader|writer)\.ts$/,
  /^datapath\/policy\/policy\.ts$/,
  /^datapath\/observe\//,
  /^datapath\/worker\/(busy-poll|engine)\.ts$/,
  /^datapath\/io\/(sys|netns|tun|netlink)\.ts$/,
  /^datapath\/wire\/(address|ipv4|tcp|udp|icmp|ranges)\.ts$/,
];

/** What others may see of the DNS server: how names become answers, never its sockets. */
const DNS_DOOR = /^control\/dns\/(answer|constants|hosts|name|record|resolver|rows|zone)\.ts$/;

/** Hot folders: pure, so they import no Node module, no package and no folder that does. */
const PURE = /^datapath\/(wire|flow|image|services|policy|pipeline|merge)\//;
const IMPURE = /^(node:|pkg:|datapath\/(io|observe|worker)\/)/;
const KUBE_CLIENT = 'pkg:@kubernetes/client-node';

interface Source {
  file: string;
  lines: string[];
  /** A lazy import is loaded by a function, at its first use. */
  imports: { to: string; lazy: boolean }[];
}

const isTest = (file: string) => file.startsWith('test/');

function folderOf(file: string): string {
  return isTest(file) ? 'test' : dirname(file);
}

/** Why this import is refused; null if it is allowed. */
function refusal(from: string, to: string): string | null {
  if (PURE.test(from) && IMPURE.test(to)) {
    return 'the hot path is pure: no Node module, no package, no folder with system calls';
  }
  if (to.startsWith('node:')) return null;
  if (to.startsWith('pkg:')) {
    if (!to.startsWith(KUBE_CLIENT) || /^(control\/kube|test)\//.test(from)) return null;
    return 'the Kubernetes client is imported in control/kube only';
  }
  if (/^(control|lab)\//.test(from) && to.startsWith('datapath/')) {
    if (!DATAPATH_DOOR.some((door) => door.test(to)))
      return 'only the files in DATAPATH_DOOR may be imported';
  }
  if (isTest(from)) return null;
  if (to.startsWith('control/dns/') && !from.startsWith('control/dns/') && !DNS_DOOR.test(to)) {
    return 'the DNS server is a program: only the files in DNS_DOOR may be imported';
  }
  return ORDER.indexOf(folderOf(to)) > ORDER.indexOf(folderOf(from))
    ? 'a folder imports only itself and folders before it in ORDER'
    : null;
}

function filesIn(top: string): string[] {
  const folder = join(root, top);
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(top, name));
}

function readSources(files: string[]): Source[] {
  return files
    .filter((file) => file.endsWith('.ts'))
    .map((file) => {
      const text = readFileSync(join(root, file), 'utf8');
      return { file, lines: text.trimEnd().split('\n'), imports: importsOf(file, text) };
    });
}

/** The forms of imports that the formatter leaves. */
const IMPORTS = [
  /^(?:import|export) (?:[^\n]* from )?'([^'\n]+)';/gm,
  /^(?:import|export) (?:type |\w+, )?\{\n(?: .*\n)*\} from '([^']+)';/gm,
];
const LAZY_IMPORT = /\bimport\(\s*'([^']+)'/g;

function importsOf(file: string, text: string): Source['imports'] {
  const find = (pattern: RegExp, lazy: boolean) =>
    [...text.matchAll(pattern)].map(([, spec]) => ({ to: targetOf(file, spec!), lazy }));
  return [...IMPORTS.flatMap((pattern) => find(pattern, false)), ...find(LAZY_IMPORT, true)];
}

function targetOf(file: string, spec: string): string {
  if (spec.startsWith('.')) return normalize(join(dirname(file), spec));
  return spec.startsWith('node:') ? spec : `pkg:${spec}`;
}

const COMMENT = /^\s*(\/\/|\/?\*+) |[;,{})\]] \/\/ /;

/**
 * The formatter cannot break strings, comments and imports. An import, a suppression of the linter
 * and data without a space stay on one line; so do the names and expected texts of tests.
 */
function isTooWide(file: string, line: string): boolean {
  if (line.length <= COLUMNS_MAX || /^import |biome-ignore/.test(line)) return false;
  return isTest(file) ? COMMENT.test(line) : / .* /.test(line.trim());
}

function* problemsOf({ file, lines, imports }: Source): Generator<string> {
  const limit = isTest(file) ? TEST_LINES_MAX : LINES_MAX;
  if (!ORDER.includes(folderOf(file))) {
    yield `${file}: its folder has no place in ORDER of scripts/layers.ts`;
  }
  if (lines.length > limit) yield `${file}: ${lines.length} lines, the limit is ${limit}`;
  for (const [at, line] of lines.entries()) {
    if (isTooWide(file, line))
      yield `${file}:${at + 1}: ${line.length} columns, not ${COLUMNS_MAX}`;
  }
  for (const { to } of imports) {
    const why = refusal(file, to);
    if (why) yield `${file} imports ${to}: ${why}`;
  }
}

function* largeFolders(sources: Source[]): Generator<string> {
  const counts = new Map<string, number>();
  for (const { file } of sources.filter((source) => !isTest(source.file))) {
    counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1);
  }
  for (const [folder, count] of counts) {
    if (count > FOLDER_FILES_MAX) yield `${folder}: ${count} files, not ${FOLDER_FILES_MAX}`;
  }
}

/** Sources in other languages, which no check reads. Programs that run in labs are tests. */
const STRANGE = /\.([cm]?js|[cm]ts|[jt]sx)$/;

/** Import cycles, those of types included. */
function* cycles(sources: Source[]): Generator<string> {
  const graph = new Map(
    sources.map(({ file, imports }) => [
      file,
      imports.filter(({ lazy }) => !lazy).map(({ to }) => to),
    ]),
  );
  const done = new Set<string>();
  function* visit(file: string, path: string[]): Generator<string> {
    if (path.includes(file)) yield `import cycle: ${[...path, file].join(' -> ')}`;
    if (done.has(file) || path.includes(file)) return;
    for (const to of graph.get(file) ?? []) yield* visit(to, [...path, file]);
    done.add(file);
  }
  for (const file of graph.keys()) yield* visit(file, []);
}

const files = TOPS.flatMap(filesIn);
const sources = readSources(files);
const problems = [
  ...files.filter((file) => STRANGE.test(file)).map((file) => `${file}: sources are .ts files`),
  ...sources.flatMap((source) => [...problemsOf(source)]),
  ...largeFolders(sources),
  ...cycles(sources),
];
for (const problem of problems) console.error(problem);
console.log(`layers: ${sources.length} files, ${problems.length} problems`);
process.exit(problems.length === 0 ? 0 : 1);
