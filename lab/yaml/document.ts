import { readFileSync } from 'node:fs';
import { type Document, isPair, LineCounter, type Node, parseAllDocuments, visit } from 'yaml';
import { KubetunError } from '../../datapath/error.ts';

/** Keys and indices that lead to a value of a document. */
export type YamlPath = readonly (string | number)[];

/** One document of a YAML file, with the line of each value. */
export interface YamlDocument {
  readonly file: string;
  /** Plain data: null for an empty document. */
  readonly value: unknown;
  /** `FILE:LINE` of the value at a path, or of its nearest existing parent. */
  locate(path: YamlPath): string;
}

/**
 * Reads all documents of a file. `-` is stdin. Throws KubetunError KT_FILE, KT_YAML with file and
 * line.
 */
export function readYaml(file: string): YamlDocument[] {
  let text: string;
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new KubetunError(
      'KT_FILE',
      `${file} cannot be read (${code})`,
      'give the path of an existing file',
      { cause: error },
    );
  }
  return parseYaml(text, file);
}

/** The same for a text. Errors call it `file`. */
export function parseYaml(text: string, file: string): YamlDocument[] {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false });
  if (!Array.isArray(documents)) return [];
  return documents.map((document) => {
    const error = document.errors[0];
    if (error) {
      const { line } = lines.linePos(error.pos[0]);
      throw yamlError(`${file}:${line}`, error.message);
    }
    refuseAliasBombs(document, file);
    return {
      file,
      value: document.toJS(),
      locate: (path) => `${file}:${lineOf(document, path, lines)}`,
    };
  });
}

/** The error for a well-formed document with wrong content. */
export function yamlError(place: string, message: string): KubetunError {
  return new KubetunError('KT_YAML', `${place}: ${message.split('\n')[0]}`, 'correct the file');
}

function lineOf(document: Document.Parsed, path: YamlPath, lines: LineCounter): number {
  for (let length = path.length; length > 0; length--) {
    const at = keyOrValue(document, path.slice(0, length));
    if (at?.range) return lines.linePos(at.range[0]).line;
  }
  const start = document.contents?.range?.[0] ?? document.range[0];
  return lines.linePos(start).line;
}

/** The key of a map entry, else the value: a reader searches for the key. */
function keyOrValue(document: Document.Parsed, path: YamlPath): Node | null {
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  const items = (parent as { items?: unknown[] } | null)?.items ?? [];
  const name = path[path.length - 1];
  for (const item of items) {
    if (isPair(item) && String((item.key as { value?: unknown }).value) === String(name)) {
      return item.key as Node;
    }
  }
  return (document.getIn(path, true) as Node | undefined) ?? null;
}

function refuseAliasBombs(document: Document.Parsed, file: string): void {
  let aliases = 0;
  visit(document, { Alias: () => void aliases++ });
  if (aliases > 100) throw yamlError(file, `${aliases} aliases are too many`);
}
