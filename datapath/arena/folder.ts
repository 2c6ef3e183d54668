// The folder that the files of datapaths lie in: this user's alone, so that no other user can
// prepare, replace or watch what processes share.
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  renameSync,
  rmdirSync,
  type Stats,
  statSync,
  unlinkSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { KubetunError } from '../error.ts';

const S_ISVTX = 0o1000;
const OPEN_TO_OTHERS = 0o022;
/** Another user may be making it again and again. */
const REPLACEMENTS_MAX = 3;

/**
 * Makes the folder with mode 0700, or makes sure that no other user can write to the one that is
 * there. Among the folders of all users, as in /dev/shm, one that is a link, a file or another
 * user's is put aside, and one of this user that is open to others is closed; elsewhere it is
 * refused. Returns why the one before was put aside; null if none was. Throws KubetunError
 * KT_ARENA_FOREIGN.
 */
export function requirePrivateFolder(folder: string): string | null {
  let distrusted: string | null = null;
  for (let n = 0; n <= REPLACEMENTS_MAX; n++) {
    const doubt = doubtAbout(folder);
    if (doubt === null) return distrusted;
    distrusted = doubt;
    if (!isForAll(statSync(dirname(folder)))) break;
    putAside(folder);
  }
  throw new KubetunError(
    'KT_ARENA_FOREIGN',
    `the folder ${folder} cannot be trusted: ${distrusted}`,
    'remove it, or name a file in another folder with --arena',
  );
}

/** Why a folder, which is made if it is not there, is not this user's alone; null if it is. */
function doubtAbout(folder: string): string | null {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const found = lstatSync(folder);
  const { uid, mode } = found;
  // Files of different users lie in it by intent: each of them is checked by itself.
  if (isForAll(found)) return null;
  if (!found.isDirectory()) return found.isSymbolicLink() ? 'it is a link' : 'it is no folder';
  if (uid !== process.geteuid!()) return `it belongs to user ${uid}`;
  // No other user can replace it: this user owns it, and its owner alone may rename it.
  if ((mode & 0o077) !== 0 && isForAll(statSync(dirname(folder)))) chmodSync(folder, 0o700);
  else if ((mode & OPEN_TO_OTHERS) !== 0) return `its mode is ${(mode & 0o777).toString(8)}`;
  return null;
}

/** Of all users, who cannot rename or remove each other's files there. */
function isForAll(found: Stats): boolean {
  return found.isDirectory() && (found.mode & S_ISVTX) !== 0;
}

/**
 * Takes a folder out of the way. What another user has in it is his: it is renamed, not searched
 * and deleted.
 */
function putAside(folder: string): void {
  try {
    if (lstatSync(folder).isDirectory()) rmdirSync(folder);
    else unlinkSync(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return;
    if (code !== 'ENOTEMPTY') throw error;
    renameSync(folder, `${folder}.foreign-${randomBytes(4).toString('hex')}`);
  }
}
