import { readFileSync } from 'node:fs';

const LINES_MAX = 200;
/** pino's level of errors. */
const LEVEL_ERROR = 50;

/**
 * The reason why a process ended, from its log: its own error, an uncaught error, or else the last
 * line. Empty if there is no log.
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

/** The error in a line. Null if the line is not about an error. */
function errorIn(line: string): string | null {
  if (line.startsWith('kubetun: ')) return line.slice('kubetun: '.length);
  // Node's output for an uncaught error.
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
