// Small files in which an agent remembers what its successor needs.
import { lstatSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { requirePrivateFolder } from '../../datapath/arena/folder.ts';
import { replaceFile } from '../files.ts';

/** Writes atomically, and follows no link that another user could prepare. */
export function remember(path: string, value: object): void {
  requirePrivateFolder(dirname(path));
  replaceFile(path, JSON.stringify(value));
}

/** Null if there is no file, or if another user owns it. */
export function recall<T extends object>(path: string): T | null {
  try {
    const { uid } = lstatSync(path);
    if (uid !== process.geteuid!()) return null;
    return JSON.parse(readFileSync(path, 'utf8')) as T;
  } catch {
    return null;
  }
}
