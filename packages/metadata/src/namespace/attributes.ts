/**
 * setAttributes: chmod, chown, truncate, utimensat, and what a kernel with a writeback cache reports, in one command.
 *
 * A change of owner takes the set-id bits of anything but a directory, also for root; an explicit mode in the same command wins.
 * Source: chmod(2), chown(2), truncate(2), utimensat(2), inode(7).
 */
import type { ErrorCode } from "@cfs/core";
import { accessAclName, aclAfterChmod } from "./acl.ts";
import type { SetAttributes } from "./commands.ts";
import { sizeError, truncate, truncateReads } from "./truncate.ts";
import { done, fail } from "./outcome.ts";
import {
  isInGroup,
  isInGroupOrRoot,
  isOwnerOrPrivileged,
  isPrivileged,
  mayAccess,
  mayWrite,
  modeWithoutSetId,
  setGid,
} from "./permission.ts";
import type { Inode } from "./records.ts";
import type { Outcome, State } from "./state.ts";

function ownershipError(inode: Inode, command: SetAttributes): ErrorCode | null {
  const { caller, uid, gid, mode } = command;
  const isOwner = caller.uid === inode.uid;
  if (uid !== null && !isPrivileged(caller) && !(isOwner && uid === inode.uid)) return "NOT_PERMITTED";
  if (gid !== null && !isPrivileged(caller) && !(isOwner && (gid === inode.gid || isInGroup(caller, gid)))) return "NOT_PERMITTED";
  if (mode !== null && !isOwnerOrPrivileged(inode, caller)) return "NOT_PERMITTED";
  return mode !== null && inode.kind === "symlink" ? "NOT_SUPPORTED" : null;
}

function timesError(state: State, inode: Inode, command: SetAttributes): ErrorCode | null {
  if ((command.atime === null && command.mtime === null) || isOwnerOrPrivileged(inode, command.caller)) return null;
  if (!command.isTouch) return "NOT_PERMITTED";
  return mayAccess(state, inode, command.caller, mayWrite) ? null : "ACCESS_DENIED";
}

function attributesError(state: State, inode: Inode, command: SetAttributes): ErrorCode | null {
  if (command.sizeBytes !== null) {
    const error = sizeError(inode, command.sizeBytes);
    if (error !== null) return error;
    if (!mayAccess(state, inode, command.caller, mayWrite)) return "ACCESS_DENIED";
  }
  return ownershipError(inode, command) ?? timesError(state, inode, command);
}

function newMode(inode: Inode, command: SetAttributes): number {
  const { caller } = command;
  let mode = inode.mode;
  const isOwnerChanged = (command.uid !== null || command.gid !== null) && inode.kind !== "directory";
  if (isOwnerChanged || command.killSetId) mode = modeWithoutSetId(inode, caller);
  if (command.mode === null) return mode;
  const group = command.gid ?? inode.gid;
  return isInGroupOrRoot(caller, group) ? command.mode : command.mode & ~setGid;
}

function setTimes(inode: Inode, command: SetAttributes): void {
  const { atime, mtime, time } = command;
  if (atime !== null) {
    inode.atimeSec = atime.sec;
    inode.atimeNsec = atime.nsec;
  }
  const changed = mtime ?? (command.sizeBytes === null ? null : time);
  if (changed !== null) {
    inode.mtimeSec = changed.sec;
    inode.mtimeNsec = changed.nsec;
  }
  const ctime = command.ctime ?? time;
  inode.ctimeSec = ctime.sec;
  inode.ctimeNsec = ctime.nsec;
}

export function setAttributes(state: State, command: SetAttributes): Outcome {
  const inode = state.inode(command.ino);
  if (inode === null) return fail("STALE_HANDLE");
  const error = attributesError(state, inode, command);
  if (error !== null) return fail(error);
  const isAclChanged = command.mode !== null && inode.xattrNames.includes(accessAclName);
  const acl = isAclChanged ? state.xattr(inode.ino, accessAclName) : null;
  const kept = command.sizeBytes === null ? null : truncateReads(state, inode, command.sizeBytes);

  state.changeInode(inode);
  inode.mode = newMode(inode, command);
  if (command.uid !== null) inode.uid = command.uid;
  if (command.gid !== null) inode.gid = command.gid;
  if (acl !== null) state.setXattr(inode.ino, accessAclName, aclAfterChmod(acl, inode.mode));
  if (command.sizeBytes !== null) truncate(state, inode, command.sizeBytes, kept);
  setTimes(inode, command);
  return done;
}
