/**
 * Keeps a second process from using a drive: an exclusive lock on DRIVE/lock, which the kernel gives back when the process ends, however it ends.
 *
 * It is taken through SQLite, which Node brings along, because Node has no call for file locks of its own; the file stays empty. Those are
 * POSIX locks on the file itself, so they hold across containers that share the drive, and a file left behind by a killed process locks nothing.
 * SQLite's own journal stays in memory: a drive without a free byte can be locked.
 */
import { DatabaseSync } from "node:sqlite";

import { CfsError } from "@cfs/core";

export interface DriveLock {
  release(): void;
}

/** BUSY when another process, or this one, has it. The lock must be kept referenced: it goes with its object. */
export type DriveLocker = (directory: string) => DriveLock;

const sqliteBusy = 5;

export const lockDrive: DriveLocker = (directory) => {
  let database: DatabaseSync | null = null;
  try {
    database = new DatabaseSync(`${directory}/lock`);
    database.exec("PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
  } catch (cause) {
    database?.close();
    const code = cause instanceof Error && "errcode" in cause ? cause.errcode : 0;
    if (code === sqliteBusy) {
      throw new CfsError("BUSY", `${directory} is in use by another cfs process; stop that one, or find it with: fuser ${directory}/lock`, {
        cause,
      });
    }
    throw new CfsError("IO", `cannot lock ${directory}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  const held = database;
  let isHeld = true;
  return {
    release: () => {
      if (isHeld) held.close();
      isHeld = false;
    },
  };
};
