/**
 * link and unlink (also rmdir): names that come to and go from existing inodes.
 *
 * Source: link(2), unlink(2), rmdir(2); the order of the checks is Linux's, so that the first errno is the same.
 */
import type { ErrorCode } from "@cfs/core";
import type { Link, Unlink } from "./commands.ts";
import { createError, linkCountMax, touchDirectory } from "./make-node.ts";
import { nameError } from "./names.ts";
import { loseEntry, loseSubdirectory } from "./counters.ts";
import { done, fail } from "./outcome.ts";
import { isStickyRefusal, mayAccess, mayExecute, mayWrite } from "./permission.ts";
import { dropLink } from "./remove-node.ts";
import type { Inode } from "./records.ts";
import type { ApplyContext, Outcome, State } from "./state.ts";

/** May the caller take `victim` out of this directory? Kinds are not judged here. */
export function removeError(state: State, parent: Inode, victim: Inode, caller: Unlink["caller"]): ErrorCode | null {
  if (!mayAccess(state, parent, caller, mayWrite | mayExecute)) return "ACCESS_DENIED";
  return isStickyRefusal(parent, victim, caller) ? "NOT_PERMITTED" : null;
}

export function link(state: State, command: Link): Outcome {
  const wrongName = nameError(command.name);
  if (wrongName !== null) return fail(wrongName);
  const inode = state.inode(command.ino);
  const parent = state.inode(command.parent);
  if (inode === null || parent === null) return fail("STALE_HANDLE");
  const error = createError(state, parent, command);
  if (error !== null) return fail(error);
  if (inode.kind === "directory") return fail("NOT_PERMITTED");
  if (inode.nlink >= linkCountMax) return fail("TOO_MANY_LINKS");

  state.setDirent(parent.ino, command.name, { ino: inode.ino, kind: inode.kind });
  state.changeInode(parent);
  parent.entryCount += 1;
  touchDirectory(parent, command.time);
  if (inode.nlink === 0) state.setOrphan(inode.ino, null);
  state.changeInode(inode);
  inode.nlink += 1;
  inode.ctimeSec = command.time.sec;
  inode.ctimeNsec = command.time.nsec;
  return done;
}

function kindError(victim: Inode, directory: boolean): ErrorCode | null {
  if (!directory) return victim.kind === "directory" ? "IS_DIRECTORY" : null;
  if (victim.kind !== "directory") return "NOT_DIRECTORY";
  return victim.entryCount > 0 ? "NOT_EMPTY" : null;
}

export function unlink(state: State, command: Unlink, context: ApplyContext): Outcome {
  const wrongName = nameError(command.name);
  if (wrongName !== null) return fail(wrongName);
  const parent = state.inode(command.parent);
  if (parent === null) return fail("STALE_HANDLE");
  if (parent.kind !== "directory") return fail("NOT_DIRECTORY");
  if (!mayAccess(state, parent, command.caller, mayExecute)) return fail("ACCESS_DENIED");
  const dirent = state.dirent(parent.ino, command.name);
  if (dirent === null) return fail("NOT_FOUND");
  const victim = state.inode(dirent.ino);
  if (victim === null) return fail("CORRUPT");
  const error = removeError(state, parent, victim, command.caller) ?? kindError(victim, command.directory);
  if (error !== null) return fail(error);

  state.setDirent(parent.ino, command.name, null);
  state.changeInode(parent);
  loseEntry(state.content, parent);
  if (victim.kind === "directory") loseSubdirectory(state.content, parent);
  touchDirectory(parent, command.time);
  dropLink(state, victim, command.time, context);
  return done;
}
