// The KubeConfig of the official client without the 950 modules that only its generated API calls
// use. Loading these takes 0.7 s of CPU time in each process.
import { registerHooks } from 'node:module';
import type { KubeConfig as OfficialConfig } from '@kubernetes/client-node/dist/config.js';

const CONFIG = '@kubernetes/client-node/dist/config.js';
/** Marks this copy. A program that imports the official client gets another, complete copy. */
const MARK = '?without-calls';
/** Imports that only generated calls use. This project sends its requests with `node:https`. */
const CALLS = new Set(['./gen/index.js', 'undici']);
const NAMES = ['createConfiguration', 'ServerConfiguration', 'Agent', 'ProxyAgent'];
const EMPTY = `data:text/javascript,export let ${NAMES}`;

async function loadConfigModule(): Promise<{ KubeConfig: typeof OfficialConfig }> {
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      const { parentURL = '' } = context;
      if (parentURL.endsWith(`/dist/config.js${MARK}`) && CALLS.has(specifier)) {
        return { url: EMPTY, format: 'module', shortCircuit: true };
      }
      const found = next(specifier, context);
      const isConfig = found.url.endsWith(`/${CONFIG}`);
      return isConfig ? { ...found, url: `${found.url}${MARK}` } : found;
    },
  });
  try {
    return await import(CONFIG);
  } finally {
    hooks.deregister();
  }
}

export const { KubeConfig } = await loadConfigModule();
export type KubeConfig = OfficialConfig;
