// load URL WORKERS: sends requests, each over a new connection, until its input ends. Prints a line
// at the start, and at the end the number of answers per server and all errors.
import { get } from 'node:http';

const [url, workers = '4'] = process.argv.slice(2) as [string, string?];
const result = {
  asked: 0,
  answers: {} as Record<string, number>,
  failures: {} as Record<string, number>,
};
let stopping = false;

function ask(): Promise<void> {
  return new Promise((resolve) => {
    const count = (where: Record<string, number>, what: string) => {
      where[what] = (where[what] ?? 0) + 1;
      resolve();
    };
    result.asked++;
    const call = get(url, { agent: false, timeout: 5000 }, async (response) => {
      let text = '';
      try {
        for await (const chunk of response.setEncoding('utf8')) text += chunk;
        if (response.statusCode === 200) count(result.answers, text);
        else count(result.failures, `status ${response.statusCode}`);
      } catch (error) {
        count(result.failures, `cut: ${(error as Error).message}`);
      }
    });
    call.on('timeout', () => call.destroy(new Error('no answer within 5 s')));
    call.on('error', (error: NodeJS.ErrnoException) => {
      count(result.failures, error.code ?? error.message);
    });
  });
}

async function work(): Promise<void> {
  while (!stopping) {
    await ask();
    // Limits the rate: the machine has other work.
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

process.stdin.on('end', () => {
  stopping = true;
});
process.stdin.resume();
console.log('asking');
await Promise.all(Array.from({ length: Number(workers) }, work));
console.log(JSON.stringify(result));
