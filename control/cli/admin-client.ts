import { request } from 'node:http';
import { KubetunError } from '../../datapath/error.ts';
import { socketOf, stateDir } from './options.ts';

const ANSWER_MS_MAX = 5000;

/** Asks a node's agent for one of its admin paths. Throws KubetunError KT_AGENT_SILENT. */
export function askAgent<T>(lab: string, node: string, path: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException) => {
      const denied = error.code === 'EACCES';
      reject(
        new KubetunError(
          'KT_AGENT_SILENT',
          `the agent of ${node} does not answer (${error.code ?? error.message})`,
          denied ? 'run this as root' : `see ${stateDir(lab)}/agents/${node}.log`,
          { cause: error },
        ),
      );
    };
    // A socket that was kept may have been closed while this process was busy.
    const to = { socketPath: socketOf(lab, node), path, agent: false as const };
    const call = request(to, async (response) => {
      try {
        response.setEncoding('utf8');
        let text = '';
        for await (const chunk of response) text += chunk;
        resolve(JSON.parse(text) as T);
      } catch (error) {
        fail(error as Error);
      }
    });
    call.setTimeout(ANSWER_MS_MAX, () => call.destroy(new Error('no answer within 5 s')));
    call.on('error', fail);
    call.end();
  });
}
