// Entry: `poll-process.ts ADDRESS`. Reads lines `HOST PATH`. Requests that path until it is there,
// then prints the time of the first request that was answered with 200.
import { Agent, request } from 'node:http';
import { createInterface } from 'node:readline';
import { nowMs } from '../pace/talk.ts';

const host = process.argv[2]!;
const agent = new Agent({ keepAlive: true });

function statusOf(name: string, path: string): Promise<number> {
  return new Promise((resolve) => {
    const asked = request({ host, path, agent, headers: { Host: name } }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode!));
      response.on('error', () => resolve(0));
    });
    asked.on('error', () => resolve(0));
    asked.end();
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  const [name = '', path = ''] = line.split(' ');
  let sentMs = nowMs();
  while ((await statusOf(name, path)) !== 200) sentMs = nowMs();
  console.log(sentMs);
}
agent.destroy();
