/**
 * setXattr: extended attributes of the namespaces user, trusted, security, and the two POSIX ACLs of system.
 *
 * An access ACL sets the mode bits, and is stored only when they do not say it all (acl.ts).
 * Source: xattr(7), setxattr(2), removexattr(2), acl(5); limits of linux/limits.h.
 */
import type { ErrorCode } from "@cfs/core";
import { accessAclName, defaultAclName, encodeAcl, modeOfAcl, parseAcl } from "./acl.ts";
import type { Acl } from "./acl.ts";
import type { SetXattr } from "./commands.ts";
import { xattrNameBytes } from "./keys.ts";
import { done, fail } from "./outcome.ts";
import { isInGroupOrRoot, isOwnerOrPrivileged, isPrivileged, mayAccess, mayWrite, setGid, sticky } from "./permission.ts";
import type { Inode } from "./records.ts";
import type { Outcome, State } from "./state.ts";

export const xattrNameBytesMax = 255;
export const xattrValueBytesMax = 65_536;
/** All names of an inode with their final NULs, as listxattr(2) returns them. */
export const xattrListBytesMax = 65_536;

const xattrCreate = 1;
const xattrReplace = 2;

/** Attributes of other names are neither set nor asked for: NOT_SUPPORTED. */
export function hasXattrNamespace(name: string): boolean {
  return /^(?:user|trusted|security)\./.test(name) || name === accessAclName || name === defaultAclName;
}

/** Names are bytes (char codes to 255) or text; both count as what they take in a key. */
function nameBytes(name: string): number {
  // oxlint-disable-next-line no-control-regex
  return /^[\0-\xff]*$/.test(name) ? name.length : xattrNameBytes(name).length;
}

function userError(state: State, inode: Inode, command: SetXattr): ErrorCode | null {
  if (inode.kind !== "file" && inode.kind !== "directory") return "NOT_PERMITTED";
  const isStickyDirectory = inode.kind === "directory" && (inode.mode & sticky) !== 0;
  if (isStickyDirectory && !isOwnerOrPrivileged(inode, command.caller)) return "NOT_PERMITTED";
  return mayAccess(state, inode, command.caller, mayWrite) ? null : "ACCESS_DENIED";
}

/** May the caller change attributes of this name's namespace? */
function namespaceError(state: State, inode: Inode, command: SetXattr): ErrorCode | null {
  const { name, caller } = command;
  if (name.length === 0 || nameBytes(name) > xattrNameBytesMax) return "RANGE";
  if (name.includes("\0") || !name.isWellFormed()) return "INVALID";
  const dot = name.indexOf(".");
  const space = name.slice(0, dot + 1);
  if (space === "user.") return dot + 1 === name.length ? "INVALID" : userError(state, inode, command);
  if (space === "trusted.") return dot + 1 === name.length ? "INVALID" : isPrivileged(caller) ? null : "NOT_PERMITTED";
  if (space === "security.") return dot + 1 === name.length ? "INVALID" : isPrivileged(caller) ? null : "NOT_PERMITTED";
  return "NOT_SUPPORTED";
}

function valueError(inode: Inode, command: SetXattr): ErrorCode | null {
  const { name, value, flags } = command;
  if ((flags & ~(xattrCreate | xattrReplace)) !== 0) return "INVALID";
  const exists = inode.xattrNames.includes(name);
  if (value === null) return exists ? null : "NO_DATA";
  if (value.length > xattrValueBytesMax) return "TOO_BIG";
  if (exists) return (flags & xattrCreate) === 0 ? null : "EXISTS";
  if ((flags & xattrReplace) !== 0) return "NO_DATA";
  let listBytes = nameBytes(name) + 1;
  for (const other of inode.xattrNames) listBytes += nameBytes(other) + 1;
  return listBytes > xattrListBytesMax ? "NO_SPACE" : null;
}

/** Names and value move together. The inode has been announced as changing. */
function store(state: State, inode: Inode, name: string, value: Uint8Array | null): void {
  const exists = inode.xattrNames.includes(name);
  if (value === null) {
    if (!exists) return;
    inode.xattrNames = inode.xattrNames.filter((other) => other !== name);
  } else if (!exists) {
    inode.xattrNames = [...inode.xattrNames, name].toSorted((a, b) => (a < b ? -1 : 1));
  }
  state.setXattr(inode.ino, name, value);
}

function setChanged(state: State, inode: Inode, command: SetXattr): void {
  state.changeInode(inode);
  inode.ctimeSec = command.time.sec;
  inode.ctimeNsec = command.time.nsec;
}

/** The ACL to set, an empty one to remove, or what is wrong. */
function checkedAcl(inode: Inode, command: SetXattr): Acl | ErrorCode {
  if (inode.kind === "symlink") return "NOT_SUPPORTED";
  if (command.value !== null && command.value.length > xattrValueBytesMax) return "TOO_BIG";
  const acl = command.value === null ? [] : parseAcl(command.value);
  if (typeof acl === "string") return acl;
  if (!isOwnerOrPrivileged(inode, command.caller)) return "NOT_PERMITTED";
  if (command.name === defaultAclName && inode.kind !== "directory" && acl.length > 0) return "ACCESS_DENIED";
  return acl;
}

/** The flags of setxattr(2) do not count for ACLs, and removing one that is not there is no error: as in Linux. */
function setAcl(state: State, inode: Inode, command: SetXattr): Outcome {
  const acl = checkedAcl(inode, command);
  if (typeof acl === "string") return fail(acl);
  setChanged(state, inode, command);
  if (command.name === defaultAclName || acl.length === 0) {
    store(state, inode, command.name, acl.length === 0 ? null : encodeAcl(acl));
    return done;
  }
  const { bits, isEquivalent } = modeOfAcl(acl);
  const keepsSetGid = !command.killSetGid && isInGroupOrRoot(command.caller, inode.gid);
  inode.mode = (inode.mode & ~0o777 & (keepsSetGid ? 0o7777 : ~setGid)) | bits;
  store(state, inode, command.name, isEquivalent ? null : encodeAcl(acl));
  return done;
}

export function setXattr(state: State, command: SetXattr): Outcome {
  const inode = state.inode(command.ino);
  if (inode === null) return fail("STALE_HANDLE");
  if (command.name === accessAclName || command.name === defaultAclName) return setAcl(state, inode, command);
  const error = namespaceError(state, inode, command) ?? valueError(inode, command);
  if (error !== null) return fail(error);
  setChanged(state, inode, command);
  store(state, inode, command.name, command.value === null ? null : Uint8Array.from(command.value));
  return done;
}
