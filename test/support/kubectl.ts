// Every kubectl of the machine, as one that tests run.
import { execFile } from 'node:child_process';
import { readdirSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

export interface Ran {
  /** Exit code. */
  code: number;
  stdout: string;
  stderr: string;
}

export interface Kubectl {
  /** `kubectl.1.33`, or `kubectl` for the one without a version in its name. */
  name: string;
  run(args: string[], input?: string): Promise<Ran>;
}

/** Those that lie where `kubectl` of the PATH does, one for each version. Throws if there is none. */
export function findKubectls(kubeconfig: string): Kubectl[] {
  const found = (process.env.PATH ?? '').split(delimiter).map((folder) => {
    try {
      return realpathSync(join(folder, 'kubectl'));
    } catch {
      return null;
    }
  });
  const first = found.find((path) => path !== null);
  if (!first) throw new Error('there is no kubectl in the PATH: install one to run these tests');
  const folder = dirname(first);
  const versioned = readdirSync(folder).filter((name) => /^kubectl\.1\.\d+$/.test(name));
  const names = versioned.length > 0 ? versioned.sort() : ['kubectl'];
  return names.map((name) => ({
    name,
    run: (args, input = '') => run(join(folder, name), args, kubeconfig, input),
  }));
}

function run(path: string, args: string[], kubeconfig: string, input: string): Promise<Ran> {
  return new Promise((resolve) => {
    const env = { ...process.env, KUBECONFIG: kubeconfig };
    const child = execFile(path, args, { env }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ code, stdout, stderr });
    });
    child.stdin?.end(input);
  });
}
