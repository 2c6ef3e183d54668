// The folder of the datapaths' files. It is private to this user: no other user can prepare,
// replace or watch files that processes share.
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
/** How often a folder is replaced: another user may create it again and again. */
const REPLACEMENTS_MAX = 3;

/**
 * Creates the folder with mode 0700, or checks that no other user can write to the existing one. A
 * sticky folder such as /tmp passes. In a sticky parent such as /dev/shm, an open folder of this
 * user gets mode 0700. A link, a file or another user's empty folder is deleted there, and a full
 * folder renamed. In any other parent these are refused. Returns why the old one was replaced; null
 * if it was not. Throws KubetunError KT_ARENA_FOREIGN.
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

/** Why a folder, made if absent, is not private to this user; null if it is. */
function doubtAbout(folder: string): string | null {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const found = lstatSync(folder);
  const { uid, mode } = found;
  // A folder for all users, such as /tmp: each file in it is checked instead.
  if (isForAll(found)) return null;
  if (!found.isDirectory()) return found.isSymbolicLink() ? 'it is a link' : 'it is not a folder';
  if (uid !== process.geteuid!()) return `it belongs to user ${uid}`;
  // In a sticky parent only this user can rename the folder, so its mode can still be corrected.
  if ((mode & 0o077) !== 0 && isForAll(statSync(dirname(folder)))) chmodSync(folder, 0o700);
  else if ((mode & OPEN_TO_OTHERS) !== 0) return `its mode is ${(mode & 0o777).toString(8)}`;
  return null;
}

/**
 * True for a folder of all users, where no user can rename or remove files of another (sticky bit).
 */
function isForAll(found: Stats): boolean {
  return found.isDirectory() && (found.mode & S_ISVTX) !== 0;
}

/** Moves a folder away. It may hold another user's files, so it is renamed and not deleted. */
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
