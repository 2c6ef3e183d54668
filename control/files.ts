// Files and folders that other processes may read at any time.
import { existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes a folder and its missing parents, by default with access for the owner only. Existing
 * folders stay as they are. Throws the system's error. `recursive` of Node's mkdir loops forever
 * below a folder that accepts no folders, such as /proc (nodejs/node, MKDirpSync).
 */
export function makeFolder(path: string, mode = 0o700): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && statSync(path).isDirectory()) return;
    const parent = dirname(path);
    if (code !== 'ENOENT' || existsSync(parent)) throw error;
    makeFolder(parent, mode);
    makeFolder(path, mode);
  }
}

/**
 * Writes a file of mode 0600 in one step: a reader sees the old text or the new text. Makes missing
 * folders. Follows no link that another user may have put at the temporary path.
 */
export function replaceFile(path: string, text: string): void {
  makeFolder(dirname(path));
  rmSync(`${path}.new`, { force: true });
  writeFileSync(`${path}.new`, text, { flag: 'wx', mode: 0o600 });
  renameSync(`${path}.new`, path);
}
