/**
 * Who may do what: mode bits, access ACLs, ownership, the sticky bit.
 *
 * A caller whose groups are null was already judged by a kernel (default_permissions): nothing is refused to it here, because only the kernel knows
 * all groups, the capabilities (CAP_CHOWN, CAP_FOWNER, …) and the user namespaces of the caller.
 * Source: path_resolution(7), acl(5), Linux inode_permission and check_sticky as documented there.
 */
import { aclAllows, accessAclName } from "./acl.ts";
import type { Caller } from "./commands.ts";
import type { Inode } from "./records.ts";
import type { State } from "./state.ts";

export const mayExecute = 1;
export const mayWrite = 2;
export const mayRead = 4;

export const setUid = 0o4000;
export const setGid = 0o2000;
export const sticky = 0o1000;
export const groupExecute = 0o010;

export function isRoot(caller: Caller): boolean {
  return caller.uid === 0;
}

/** May do what only root may: root, and whom a kernel has judged. */
export function isPrivileged(caller: Caller): boolean {
  return caller.uid === 0 || caller.groups === null;
}

export function isOwnerOrPrivileged(inode: Inode, caller: Caller): boolean {
  return caller.uid === inode.uid || isPrivileged(caller);
}

export function isInGroup(caller: Caller, gid: number): boolean {
  return caller.groups === null || caller.gid === gid || caller.groups.includes(gid);
}

/** A caller that keeps set-group-id bits of files of this group. */
export function isInGroupOrRoot(caller: Caller, gid: number): boolean {
  return caller.uid === 0 || isInGroup(caller, gid);
}

/** `mask`: any of mayRead, mayWrite, mayExecute. May ask the state for the access ACL. */
export function mayAccess(state: State, inode: Inode, caller: Caller, mask: number): boolean {
  if (caller.groups === null) return true;
  if (caller.uid === 0) return (mask & mayExecute) === 0 || inode.kind === "directory" || (inode.mode & 0o111) !== 0;
  if (caller.uid === inode.uid) return ((inode.mode >> 6) & mask) === mask;
  if ((inode.mode & 0o070) !== 0 && inode.xattrNames.includes(accessAclName)) {
    const acl = state.xattr(inode.ino, accessAclName);
    if (acl !== null) return aclAllows(acl, inode.gid, caller, mask);
  }
  const bits = isInGroup(caller, inode.gid) ? inode.mode >> 3 : inode.mode;
  return (bits & mask) === mask;
}

/** In a sticky directory only the owner of the entry, of the directory, or root may take an entry away. */
export function isStickyRefusal(directory: Inode, victim: Inode, caller: Caller): boolean {
  return (directory.mode & sticky) !== 0 && caller.uid !== victim.uid && !isOwnerOrPrivileged(directory, caller);
}

/** Of a caller whose groups are null only the group that it acts in is known; taking a bit away too often is the safe mistake. */
function isActingIn(caller: Caller, gid: number): boolean {
  return caller.uid === 0 || caller.gid === gid || (caller.groups?.includes(gid) ?? false);
}

/**
 * What a change of content or owner leaves of the mode: set-user-id goes, set-group-id too where the group may execute or the caller is not in
 * it (Linux, setattr_should_drop_sgid).
 */
export function modeWithoutSetId({ mode, gid }: Inode, caller: Caller): number {
  const keepsSetGid = (mode & groupExecute) === 0 && isActingIn(caller, gid);
  return mode & ~(keepsSetGid ? setUid : setUid | setGid);
}
