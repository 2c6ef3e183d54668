// in-worker URL SCRIPT EXPRESSION: evaluates EXPRESSION in the worker whose script URL contains
// SCRIPT, through the inspector at URL. Exits with 0 once the expression was sent.
const ANSWER_MS_MAX = 5000;
/** Time for the main thread to pass the message on. */
const SENT_MS = 100;

interface Message {
  method?: string;
  params?: { sessionId?: string; workerInfo?: { url: string } };
}

const [url, script, expression] = process.argv.slice(2) as [string, string, string];
const socket = new WebSocket(url);
let isSent = false;
setTimeout(() => process.exit(1), ANSWER_MS_MAX);
socket.onerror = () => process.exit(1);
socket.onclose = () => process.exit(isSent ? 0 : 1);
socket.onopen = () => {
  const params = { waitForDebuggerOnStart: false };
  socket.send(JSON.stringify({ id: 1, method: 'NodeWorker.enable', params }));
};
socket.onmessage = ({ data }) => {
  const { method, params } = JSON.parse(String(data)) as Message;
  // Sends once: a worker that replaces this one must not get the expression.
  if (isSent || method !== 'NodeWorker.attachedToWorker') return;
  const { sessionId, workerInfo } = params ?? {};
  if (!workerInfo?.url.includes(script)) return;
  const evaluate = { id: 1, method: 'Runtime.evaluate', params: { expression } };
  const message = JSON.stringify(evaluate);
  const sent = { id: 2, method: 'NodeWorker.sendMessageToWorker', params: { sessionId, message } };
  socket.send(JSON.stringify(sent));
  isSent = true;
  setTimeout(() => socket.close(), SENT_MS);
};
