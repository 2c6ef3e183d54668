import { readFileSync } from 'node:fs';

/** What a process said last, in its log; empty if it said nothing. */
export function lastLine(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim().split('\n').at(-1) ?? '';
  } catch {
    return '';
  }
}
