/**
 * rename: one command, so there is no moment with two names or none; with RENAME_NOREPLACE, RENAME_EXCHANGE and RENAME_WHITEOUT.
 *
 * Invariant: the tree stays a tree. A directory never moves below itself: the walk up from the new parent would meet it.
 * Source: rename(2); the order of the checks is Linux's do_renameat2 and vfs_rename as documented in directory-locking.rst.
 */
import type { ErrorCode, InodeNumber } from "@cfs/core";
import type { Moment, Rename } from "./commands.ts";
import { removeError } from "./link-unlink.ts";
import { addInode, groupOfNew, isFreshInode, linkCountMax, touchDirectory } from "./make-node.ts";
import { nameError } from "./names.ts";
import { loseEntry, loseSubdirectory } from "./counters.ts";
import { done, fail } from "./outcome.ts";
import { mayAccess, mayExecute, mayWrite } from "./permission.ts";
import { dropLink } from "./remove-node.ts";
import type { Inode } from "./records.ts";
import type { ApplyContext, Outcome, State } from "./state.ts";

export const renameNoReplace = 1;
export const renameExchange = 2;
export const renameWhiteout = 4;

/** What is renamed, between which directories, and what stands in its way. */
interface Parties {
  readonly parent: Inode;
  readonly newParent: Inode;
  readonly moved: Inode;
  /** What has the new name now. */
  readonly target: Inode | null;
}

function flagsError(flags: number): ErrorCode | null {
  const isKnown = (flags & ~(renameNoReplace | renameExchange | renameWhiteout)) === 0;
  const isMixed = (flags & renameExchange) !== 0 && (flags & (renameNoReplace | renameWhiteout)) !== 0;
  return isKnown && !isMixed ? null : "INVALID";
}

/** Is `directory` the same as `ancestor` or anywhere below it? */
function isWithin(state: State, directory: Inode, ancestor: Inode): boolean {
  let at = directory;
  while (at.ino !== ancestor.ino) {
    if (at.parent === at.ino || at.parent === 0) return false;
    const up = state.inode(at.parent);
    if (up === null) return false;
    at = up;
  }
  return true;
}

function findParties(state: State, command: Rename): Parties | ErrorCode {
  const parent = state.inode(command.parent);
  const newParent = command.newParent === command.parent ? parent : state.inode(command.newParent);
  if (parent === null || newParent === null) return "STALE_HANDLE";
  if (parent.kind !== "directory" || newParent.kind !== "directory") return "NOT_DIRECTORY";
  if (!mayAccess(state, parent, command.caller, mayExecute) || !mayAccess(state, newParent, command.caller, mayExecute))
    return "ACCESS_DENIED";
  const source = state.dirent(parent.ino, command.name);
  if (source === null) return "NOT_FOUND";
  const inTheWay = state.dirent(newParent.ino, command.newName);
  if (inTheWay !== null && (command.flags & renameNoReplace) !== 0) return "EXISTS";
  if (inTheWay === null && (command.flags & renameExchange) !== 0) return "NOT_FOUND";
  if (newParent.nlink === 0) return "NOT_FOUND";
  const moved = state.inode(source.ino);
  const target = inTheWay === null ? null : state.inode(inTheWay.ino);
  if (moved === null || (inTheWay !== null && target === null)) return "CORRUPT";
  return { parent, newParent, moved, target };
}

/** A directory must not come to lie in itself, nor replace one that it lies in. */
function loopError(state: State, { parent, newParent, moved, target }: Parties, isExchange: boolean): ErrorCode | null {
  if (moved.kind === "directory" && parent.ino !== newParent.ino && isWithin(state, newParent, moved)) return "INVALID";
  if (target?.kind !== "directory" || parent.ino === newParent.ino || !isWithin(state, parent, target)) return null;
  return isExchange ? "INVALID" : "NOT_EMPTY";
}

function kindError(moved: Inode, target: Inode): ErrorCode | null {
  if (moved.kind === "directory" && target.kind !== "directory") return "NOT_DIRECTORY";
  if (moved.kind !== "directory" && target.kind === "directory") return "IS_DIRECTORY";
  return null;
}

function accessError(state: State, parties: Parties, command: Rename): ErrorCode | null {
  const { parent, newParent, moved, target } = parties;
  const { caller } = command;
  const isExchange = (command.flags & renameExchange) !== 0;
  const fromError = removeError(state, parent, moved, caller);
  if (fromError !== null) return fromError;
  if (target === null) {
    if (!mayAccess(state, newParent, caller, mayWrite)) return "ACCESS_DENIED";
  } else {
    const toError = removeError(state, newParent, target, caller) ?? (isExchange ? null : kindError(moved, target));
    if (toError !== null) return toError;
  }
  if (parent.ino === newParent.ino) return null;
  // The ".." of a directory that changes its parent is written.
  if (moved.kind === "directory" && !mayAccess(state, moved, caller, mayWrite)) return "ACCESS_DENIED";
  const isTargetMoved = isExchange && target?.kind === "directory";
  return isTargetMoved && !mayAccess(state, target, caller, mayWrite) ? "ACCESS_DENIED" : null;
}

function limitError(state: State, parties: Parties, command: Rename, context: ApplyContext): ErrorCode | null {
  const { parent, newParent, moved, target } = parties;
  const isExchange = (command.flags & renameExchange) !== 0;
  const gainsDirectory = (from: Inode | null, to: Inode | null): boolean => from?.kind === "directory" && to?.kind !== "directory";
  if (parent.ino !== newParent.ino) {
    if (gainsDirectory(moved, target) && newParent.nlink >= linkCountMax) return "TOO_MANY_LINKS";
    if (isExchange && gainsDirectory(target, moved) && parent.nlink >= linkCountMax) return "TOO_MANY_LINKS";
  }
  if (!isExchange && target?.kind === "directory" && target.entryCount > 0) return "NOT_EMPTY";
  if ((command.flags & renameWhiteout) === 0) return null;
  return command.whiteout === 0 || !isFreshInode(state, command.whiteout, context) ? "INVALID" : null;
}

function setChanged(state: State, inode: Inode, time: Moment): void {
  state.changeInode(inode);
  inode.ctimeSec = time.sec;
  inode.ctimeNsec = time.nsec;
}

function exchange(state: State, { parent, newParent, moved, target }: Parties & { readonly target: Inode }, command: Rename): void {
  state.setDirent(parent.ino, command.name, { ino: target.ino, kind: target.kind });
  state.setDirent(newParent.ino, command.newName, { ino: moved.ino, kind: moved.kind });
  setChanged(state, moved, command.time);
  setChanged(state, target, command.time);
  if (moved.kind === "directory") reparent(state, moved, parent, newParent);
  if (target.kind === "directory") reparent(state, target, newParent, parent);
}

/** Both parents, which may be one, have been announced as changing. */
function reparent({ content }: State, directory: Inode, from: Inode, to: Inode): void {
  loseSubdirectory(content, from);
  to.nlink += 1;
  directory.parent = to.ino;
}

function makeWhiteout(state: State, parent: Inode, command: Rename, ino: InodeNumber): void {
  const { uid } = command.caller;
  const gid = groupOfNew(parent, command.caller);
  addInode(state, { ino, kind: "character", mode: 0, uid, gid, nlink: 1, rdev: 0, parent: 0, target: null }, command.time);
  state.setDirent(parent.ino, command.name, { ino, kind: "character" });
}

function move(state: State, { parent, newParent, moved, target }: Parties, command: Rename, context: ApplyContext): void {
  setChanged(state, moved, command.time);
  if (moved.kind === "directory") reparent(state, moved, parent, newParent);
  if (command.whiteout !== 0 && (command.flags & renameWhiteout) !== 0) {
    makeWhiteout(state, parent, command, command.whiteout);
  } else {
    state.setDirent(parent.ino, command.name, null);
    loseEntry(state.content, parent);
  }
  state.setDirent(newParent.ino, command.newName, { ino: moved.ino, kind: moved.kind });
  if (target === null) {
    newParent.entryCount += 1;
    return;
  }
  if (target.kind === "directory") loseSubdirectory(state.content, newParent);
  dropLink(state, target, command.time, context);
}

export function rename(state: State, command: Rename, context: ApplyContext): Outcome {
  const wrong = flagsError(command.flags) ?? nameError(command.name) ?? nameError(command.newName);
  if (wrong !== null) return fail(wrong);
  const parties = findParties(state, command);
  if (typeof parties === "string") return fail(parties);
  const isExchange = (command.flags & renameExchange) !== 0;
  const loop = loopError(state, parties, isExchange);
  if (loop !== null) return fail(loop);
  const { parent, newParent, moved, target } = parties;
  if (moved.ino === target?.ino) return done;
  const error = accessError(state, parties, command) ?? limitError(state, parties, command, context);
  if (error !== null) return fail(error);

  state.changeInode(parent);
  touchDirectory(parent, command.time);
  if (newParent.ino !== parent.ino) {
    state.changeInode(newParent);
    touchDirectory(newParent, command.time);
  }
  if (isExchange && target !== null) exchange(state, { parent, newParent, moved, target }, command);
  else move(state, parties, command, context);
  return done;
}
