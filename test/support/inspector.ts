// Runs code in a worker thread of a running process, by the inspector that every Node process opens on SIGUSR1. Tests
// end and block threads with it: a thread takes no signal of its own. The process needs INSPECTED in its environment.
import { readFileSync } from 'node:fs';

/** Any free port, so that the processes of a lab do not compete for the default one. */
export const INSPECTED = { NODE_OPTIONS: '--inspect-port=127.0.0.1:0' };

const ASK_MS_MAX = 10_000;

interface Message {
  id?: number;
  method?: string;
  params?: { sessionId?: string; workerInfo?: { url: string }; message?: string };
}

/** Of each process that was asked: where its inspector listened last. */
const inspectors = new Map<number, string>();

/** Where the inspector of a process listens, by what the process says of it in its log. */
async function inspectorOf(pid: number, logPath: string): Promise<string> {
  const known = inspectors.get(pid);
  if (known && (await answers(known))) return known;
  const before = listening(logPath).length;
  process.kill(pid, 'SIGUSR1');
  const end = Date.now() + ASK_MS_MAX;
  while (Date.now() < end) {
    const url = listening(logPath)[before];
    if (url) {
      inspectors.set(pid, url);
      return url;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`process ${pid} opens no inspector, according to ${logPath}`);
}

function answers(url: string): Promise<boolean> {
  return fetch(`http://${new URL(url).host}/json/version`).then(
    ({ ok }) => ok,
    () => false,
  );
}

function listening(logPath: string): string[] {
  const lines = readFileSync(logPath, 'utf8').matchAll(/Debugger listening on (ws:\S+)/g);
  return [...lines].map(([, url]) => url!);
}

/**
 * Runs an expression in the worker of a process whose script ends with `script`. Resolves when the thread has begun to
 * run it, or has ended.
 */
export async function inWorker(
  pid: number,
  logPath: string,
  script: string,
  expression: string,
): Promise<void> {
  const socket = new WebSocket(await inspectorOf(pid, logPath));
  const timer = setTimeout(() => socket.close(), ASK_MS_MAX);
  let isDone = false;
  try {
    await new Promise<void>((resolve, reject) => {
      socket.onerror = () => reject(new Error(`the inspector of ${pid} does not answer`));
      socket.onclose = () =>
        isDone ? resolve() : reject(new Error(`process ${pid} has no worker ${script}`));
      socket.onopen = () => {
        const params = { waitForDebuggerOnStart: false };
        socket.send(JSON.stringify({ id: 1, method: 'NodeWorker.enable', params }));
      };
      socket.onmessage = ({ data }) => {
        const { method, params } = JSON.parse(String(data)) as Message;
        // A worker that takes the place of this one is left alone.
        if (isDone || method !== 'NodeWorker.attachedToWorker') return;
        if (params?.workerInfo?.url.endsWith(script)) {
          const message = JSON.stringify({
            ...{ id: 1, method: 'Runtime.evaluate' },
            params: { expression },
          });
          const { sessionId } = params;
          const sent = { id: 2, method: 'NodeWorker.sendMessageToWorker' };
          socket.send(JSON.stringify({ ...sent, params: { sessionId, message } }));
          isDone = true;
          // An expression that ends the thread, or never ends, has no answer.
          setTimeout(() => socket.close(), 100);
        }
      };
    });
  } finally {
    clearTimeout(timer);
    socket.close();
  }
}
