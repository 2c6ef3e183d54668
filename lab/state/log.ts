import { readFileSync } from 'node:fs';

const LINES_MAX = 200;
/** Levels of pino from which on something is wrong. */
const LEVEL_ERROR = 50;

/**
 * What a process said last of why it ended, in its log: its own error, an uncaught one, or else its
 * last line. Empty if it said nothing.
 */
export function lastWords(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return '';
  }
  const lines = text.trim().split('\n').slice(-LINES_MAX).reverse();
  for (const line of lines) {
    const said = errorIn(line);
    if (said !== null) return said;
  }
  return lines[0] ?? '';
}

/** What is wrong according to a line; null if it speaks of something else. */
function errorIn(line: string): string | null {
  if (line.startsWith('kubetun: ')) return line.slice('kubetun: '.length);
  // What Node prints of an error that nobody has caught.
  if (/^\w*Error\b.*: /.test(line)) return line;
  if (!line.startsWith('{')) return null;
  try {
    const { level, msg, why, error } = JSON.parse(line) as Record<string, unknown>;
    if (Number(level) < LEVEL_ERROR) return null;
    const cause = String(why ?? error ?? '').split('\n')[0];
    return [msg, cause].filter(Boolean).join(': ');
  } catch {
    return null;
  }
}
