// A rendered configuration in the parts that HAProxy can change while it runs, and the rest.
import { createHash } from 'node:crypto';
import { FILES, type HaproxyFiles } from '../config.ts';

/** Name below the folder -> text. */
export type Files = Map<string, string>;

/** Server name -> its address and options, as a `server` line has them. */
export type Servers = Map<string, string>;

export interface Desired {
  /** Digest of everything that only a reload changes. */
  skeleton: string;
  /** Backend -> its servers that can come and go at run time. */
  servers: Map<string, Servers>;
  /** `BACKEND/SERVER` of all others. */
  fixed: Set<string>;
  /** Map -> its lines `KEY VALUE`. */
  maps: Map<string, string>;
  /** Certificate -> its PEM. */
  certificates: Map<string, string>;
  /** Path of a certificate -> its lines in the list of certificates, without the path. */
  listed: Map<string, string[]>;
  /** All files by name. The configuration contains the digest of the skeleton. */
  files: Files;
}

/** Variable in the environment of HAProxy with the digest of its skeleton. */
export const SKELETON_VARIABLE = 'KUBETUN_SKELETON';

const SERVER = /^\s+server (\S+) (.*)$/;
const ADDRESS = /^\d+\.\d+\.\d+\.\d+:\d+(?: |$)/;
/** Options that a server added at run time cannot have. */
const FIXED_OPTIONS = /\s(?:cookie|resolvers|track|init-addr)\s/;
const MAP_SUFFIX = '.map';
const CERTIFICATE_SUFFIX = '.pem';
const SECTION = /^(\w+)(?:\s+(\S+))?/;

const MARK = new RegExp(`\\n\\nglobal\\n {2}setenv ${SKELETON_VARIABLE} \\w+\\n$`);

/** The files of a rendered configuration by name. */
export function filesOf({ config, routes, crtList, certificates }: HaproxyFiles): Files {
  return new Map([
    [FILES.config, config],
    [FILES.routes, routes],
    [FILES.certificates, crtList],
    ...certificates.map(({ name, pem }): [string, string] => [name, pem]),
  ]);
}

/**
 * Reads the files of a configuration. `server` lines with an IPv4 address can change at run time,
 * every other line is skeleton.
 */
export function readDesired(files: Files): Desired {
  const config = (files.get(FILES.config) ?? '').replace(MARK, '').trimEnd();
  const servers = new Map<string, Servers>();
  const fixed = new Set<string>();
  const rest: string[] = [];
  let backend = '';
  for (const line of config.split('\n')) {
    const [, section, name = ''] = SECTION.exec(line) ?? [];
    if (section !== undefined) {
      backend = section === 'backend' ? name : '';
      if (backend !== '') servers.set(backend, new Map());
    }
    const [, server = '', spec = ''] = (backend !== '' && SERVER.exec(line)) || [];
    if (ADDRESS.test(spec) && !FIXED_OPTIONS.test(`${spec} `)) {
      servers.get(backend)!.set(server, spec.trim());
      continue;
    }
    rest.push(line);
    if (server !== '') fixed.add(`${backend}/${server}`);
  }
  // A map or list that appears or disappears is named by a line of the configuration.
  const skeleton = createHash('sha256').update(rest.join('\n')).digest('hex').slice(0, 32);
  const marked = `${config}\n\nglobal\n  setenv ${SKELETON_VARIABLE} ${skeleton}\n`;
  const those = (is: (name: string) => boolean) => new Map([...files].filter(([name]) => is(name)));
  return {
    ...{ skeleton, servers, fixed, files: new Map([...files, [FILES.config, marked]]) },
    maps: those((name) => name.endsWith(MAP_SUFFIX)),
    certificates: those((name) => name.endsWith(CERTIFICATE_SUFFIX)),
    listed: readList(files.get(FILES.certificates) ?? ''),
  };
}

/** Lines `PATH [OPTIONS] NAME...` by path. */
function readList(text: string): Map<string, string[]> {
  const listed = new Map<string, string[]>();
  for (const line of text.split('\n').filter((line) => line.trim() !== '')) {
    const [, path, entry] = /^(\S+)\s*(.*)$/.exec(line)!;
    listed.set(path!, [...(listed.get(path!) ?? []), entry!.trim()]);
  }
  return listed;
}
