// Fields that a JSON text names twice, which JSON.parse passes over in silence.

import { badRequest, type StatusError } from '../status.ts';

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]:,]/g;

/** No object is nested so deeply; what walks through one may rely on it. */
const DEPTH_MAX = 1000;

/** What is said of one that is, in the words of Go's decoder. */
export function tooDeep(): StatusError {
  return badRequest('json: exceeded max depth');
}

/** Throws StatusError BadRequest for a value that is nested too deeply. */
export function checkDepth(value: unknown): void {
  let level = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > DEPTH_MAX) throw tooDeep();
    const inner = level.filter((item) => typeof item === 'object' && item !== null);
    level = inner.flatMap((item) => Object.values(item as object));
  }
}

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
