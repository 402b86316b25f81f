/**
 * makeNode: a new file, directory, symlink or special file, with a name or (O_TMPFILE) without.
 *
 * Mode and group come from the caller, the set-group-id bit of the parent, and the parent's default ACL or the umask.
 * Source: mknod(2), mkdir(2), symlink(2), open(2), acl(5) "object creation and default ACLs".
 */
import { slotCount } from "@cfs/core";
import type { ErrorCode, InodeNumber } from "@cfs/core";
import { accessAclName, defaultAclName, inheritAcl } from "./acl.ts";
import type { Caller, MakeNode, Moment } from "./commands.ts";
import { nameError, targetBytesMax } from "./names.ts";
import { done, fail } from "./outcome.ts";
import { groupExecute, isInGroupOrRoot, isPrivileged, mayAccess, mayExecute, mayWrite, setGid, sticky } from "./permission.ts";
import type { FileKind, Inode } from "./records.ts";
import type { ApplyContext, ContentState, Outcome, State } from "./state.ts";

/** Far above what any program needs, and it fits the 32 bits of the FUSE protocol. */
export const linkCountMax = 0x7fff_ffff;
const noNames: readonly string[] = Object.freeze([]);

interface NewInode {
  readonly ino: InodeNumber;
  readonly kind: FileKind;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly nlink: number;
  readonly rdev: number;
  readonly parent: InodeNumber | 0;
  readonly target: Uint8Array | null;
}

/** Adds an inode, born now, and counts it. */
export function addInode(state: State, node: NewInode, time: Moment, xattrNames: readonly string[] = noNames): Inode {
  const { sec, nsec } = time;
  const inode: Inode = {
    ino: node.ino,
    generation: 1,
    kind: node.kind,
    mode: node.mode,
    uid: node.uid,
    gid: node.gid,
    nlink: node.nlink,
    rdev: node.rdev,
    sizeBytes: node.target === null ? 0 : node.target.length,
    allocatedBytes: 0,
    isAllocatedStale: false,
    atimeSec: sec,
    atimeNsec: nsec,
    mtimeSec: sec,
    mtimeNsec: nsec,
    ctimeSec: sec,
    ctimeNsec: nsec,
    birthSec: sec,
    birthNsec: nsec,
    parent: node.parent,
    entryCount: 0,
    target: node.target,
    inlineBytes: 0,
    inline: null,
    hasExtents: false,
    xattrNames,
  };
  state.addInode(inode);
  if (state.content !== null) {
    const usage = state.content.usage();
    state.content.setUsage(usage);
    usage.inodes += 1;
  }
  return inode;
}

/** The directory's names have changed. */
export function touchDirectory(directory: Inode, time: Moment): void {
  directory.mtimeSec = time.sec;
  directory.mtimeNsec = time.nsec;
  directory.ctimeSec = time.sec;
  directory.ctimeNsec = time.nsec;
}

/**
 * Whether the server may take `ino` for a new inode: granted to the session, and in no use. A client knows this of its own
 * numbers, and its partial state could not answer.
 */
export function isFreshInode(state: State, ino: InodeNumber, context: ApplyContext): boolean {
  const content = state.content;
  if (content === null) return true;
  if (context.clientId !== null && !isGranted(content, ino, context.clientId)) return false;
  return content.takeFresh(ino) || (state.inode(ino) === null && !content.isZombie(ino));
}

function isGranted(content: ContentState, ino: InodeNumber, clientId: NonNullable<ApplyContext["clientId"]>): boolean {
  const count = Math.floor(ino / slotCount);
  return content.session(clientId)?.grants.some((grant) => count >= grant.begin && count < grant.end) === true;
}

function isWhiteout(command: MakeNode): boolean {
  return command.kind === "character" && command.rdev === 0;
}

/** What is wrong with the node itself. */
function nodeError(command: MakeNode): ErrorCode | null {
  const { kind, target, name } = command;
  if (name === null && kind !== "file") return "INVALID";
  if (kind === "symlink") {
    if (target === null || target.includes(0)) return "INVALID";
    if (target.length === 0) return "NOT_FOUND";
    return target.length > targetBytesMax ? "NAME_TOO_LONG" : null;
  }
  if (target !== null) return "INVALID";
  const isDevice = kind === "character" || kind === "block";
  return isDevice && !isPrivileged(command.caller) && !isWhiteout(command) ? "NOT_PERMITTED" : null;
}

/** May the caller make a name in this directory? The order of the checks is Linux's. */
export function createError(state: State, parent: Inode, command: Pick<MakeNode, "name" | "caller">): ErrorCode | null {
  if (parent.kind !== "directory") return "NOT_DIRECTORY";
  if (!mayAccess(state, parent, command.caller, mayExecute)) return "ACCESS_DENIED";
  if (command.name !== null && state.dirent(parent.ino, command.name) !== null) return "EXISTS";
  if (parent.nlink === 0) return "NOT_FOUND";
  return mayAccess(state, parent, command.caller, mayWrite) ? null : "ACCESS_DENIED";
}

/** Mode bits before umask and ACL. */
function requestedMode(command: MakeNode, parent: Inode): number {
  if (command.kind === "symlink") return 0o777;
  const isGroupInherited = (parent.mode & setGid) !== 0;
  if (command.kind === "directory") return (command.mode & (0o777 | sticky)) | (isGroupInherited ? setGid : 0);
  const isExecutableSetGid = (command.mode & (setGid | groupExecute)) === (setGid | groupExecute);
  const losesSetGid = isGroupInherited && isExecutableSetGid && !isInGroupOrRoot(command.caller, parent.gid);
  return losesSetGid ? command.mode & ~setGid : command.mode;
}

/** A directory with set-group-id gives its group to what is made in it. */
export function groupOfNew(parent: Inode, caller: Caller): number {
  return (parent.mode & setGid) === 0 ? caller.gid : parent.gid;
}

export function makeNode(state: State, command: MakeNode, context: ApplyContext): Outcome {
  const { name, kind, caller, time, ino } = command;
  const wrongName = name === null ? null : nameError(name);
  if (wrongName !== null) return fail(wrongName);
  const parent = state.inode(command.parent);
  if (parent === null) return fail("STALE_HANDLE");
  const error = createError(state, parent, command) ?? nodeError(command);
  if (error !== null) return fail(error);
  if (kind === "directory" && parent.nlink >= linkCountMax) return fail("TOO_MANY_LINKS");
  if (name === null && context.clientId === null) return fail("INVALID");
  if (!isFreshInode(state, ino, context)) return fail("INVALID");
  const hasDefault = kind !== "symlink" && parent.xattrNames.includes(defaultAclName);
  const defaultAcl = hasDefault ? state.xattr(parent.ino, defaultAclName) : null;

  const requested = requestedMode(command, parent);
  const umask = kind === "symlink" ? 0 : command.umask;
  const { mode, access } = defaultAcl === null ? { mode: requested & ~umask, access: null } : inheritAcl(defaultAcl, requested);
  const xattrNames: string[] = [];
  if (access !== null) xattrNames.push(accessAclName);
  if (defaultAcl !== null && kind === "directory") xattrNames.push(defaultAclName);
  addInode(
    state,
    {
      ino,
      kind,
      mode,
      uid: caller.uid,
      gid: groupOfNew(parent, caller),
      nlink: name === null ? 0 : kind === "directory" ? 2 : 1,
      rdev: kind === "character" || kind === "block" ? command.rdev : 0,
      parent: kind === "directory" ? parent.ino : 0,
      target: command.target === null ? null : Uint8Array.from(command.target),
    },
    time,
    xattrNames.length === 0 ? noNames : xattrNames,
  );
  if (access !== null) state.setXattr(ino, accessAclName, access);
  if (defaultAcl !== null && kind === "directory") state.setXattr(ino, defaultAclName, defaultAcl);
  if (name === null) {
    state.setOrphan(ino, context.clientId);
    return done;
  }
  state.setDirent(parent.ino, name, { ino, kind });
  state.changeInode(parent);
  parent.entryCount += 1;
  if (kind === "directory") parent.nlink += 1;
  touchDirectory(parent, time);
  return done;
}
