// Finds fields that a JSON text names twice. JSON.parse does not report them.

import { DEPTH_MAX, tooDeep } from '../status.ts';

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]:,]/g;

interface Level {
  path: string;
  /** Null in a list. */
  keys: Set<string> | null;
  /** The key whose value is being read; the index in a list. */
  at: string | number;
  isKey: boolean;
}

/**
 * Paths such as `spec.ports[0].name`, each once, of a text that JSON.parse has accepted. Throws
 * StatusError BadRequest if it is nested too deeply.
 */
export function duplicateFields(text: string): string[] {
  const found = new Set<string>();
  const levels: Level[] = [];
  for (const [token] of text.matchAll(TOKEN)) {
    const level = levels.at(-1);
    if (token === '{' || token === '[') {
      const keys = token === '{' ? new Set<string>() : null;
      const path = level ? pathOf(level) : '';
      if (levels.length === DEPTH_MAX) throw tooDeep();
      levels.push({ path, keys, at: keys ? '' : 0, isKey: keys !== null });
    } else if (token === '}' || token === ']') levels.pop();
    else if (token === ',' && level) {
      if (level.keys) level.isKey = true;
      else level.at = (level.at as number) + 1;
    } else if (token.startsWith('"') && level?.keys && level.isKey) {
      level.at = JSON.parse(token) as string;
      level.isKey = false;
      if (level.keys.has(level.at)) found.add(pathOf(level));
      level.keys.add(level.at);
    }
  }
  return [...found];
}

function pathOf({ path, keys, at }: Level): string {
  if (!keys) return `${path}[${at}]`;
  return path === '' ? String(at) : `${path}.${at}`;
}
