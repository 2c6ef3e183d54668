// One kubectl per minor version on this machine, and Debian's. Debian's package is only unpacked,
// because its installation would replace a newer one.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export interface Binary {
  path: string;
  /** `1.27`. */
  version: string;
  minor: number;
}

const DEBIAN = join(tmpdir(), 'kubetun-debian-kubectl');

/**
 * One binary per minor version, oldest first: on the PATH, beside its link's target, and Debian's.
 */
export function findKubectls(): Binary[] {
  const onPath = (process.env.PATH ?? '')
    .split(':')
    .map((folder) => join(folder, 'kubectl'))
    .filter((path) => existsSync(path));
  const beside = onPath.flatMap((path) => {
    const folder = dirname(realpathSync(path));
    const names = readdirSync(folder).filter((name) => /^kubectl(\.1\.\d+)?$/.test(name));
    return names.map((name) => join(folder, name));
  });
  const found = new Map<number, Binary>();
  for (const path of [...new Set([...beside, ...onPath, debianKubectl()])]) {
    const minor = minorOf(path);
    if (!found.has(minor)) found.set(minor, { path, minor, version: `1.${minor}` });
  }
  return [...found.values()].sort((a, b) => a.minor - b.minor);
}

/** Debian's package, unpacked into a folder: its installation would remove newer ones. */
function debianKubectl(): string {
  const path = join(DEBIAN, 'usr/bin/kubectl');
  if (existsSync(path)) return path;
  mkdirSync(DEBIAN, { recursive: true });
  const script = 'apt-get download -q kubernetes-client && dpkg -x kubernetes-client_*.deb .';
  const { status, stderr } = spawnSync('sh', ['-c', script], { cwd: DEBIAN, encoding: 'utf8' });
  if (status !== 0) throw new Error(`cannot download Debian's kubectl: ${stderr}`);
  return path;
}

function minorOf(path: string): number {
  const { stdout } = spawnSync(path, ['version', '--client', '-o', 'json'], { encoding: 'utf8' });
  const { clientVersion } = JSON.parse(stdout) as { clientVersion: { minor: string } };
  return Number.parseInt(clientVersion.minor, 10);
}
