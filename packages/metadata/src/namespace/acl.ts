/**
 * POSIX ACLs in the form of their extended attributes, and how they and the mode bits follow each other.
 *
 *     | version 2, 4 bytes | tag 2, permissions 2, id 4 | …      little-endian; id only counts for named users and groups
 *
 * Invariant: an access ACL is stored only when it says more than the mode bits; the group bits of the mode are then its mask.
 * Source: acl(5), the withdrawn POSIX.1e draft 17 section 23, linux/posix_acl_xattr.h for the layout.
 */
import type { ErrorCode } from "@cfs/core";
import type { Caller } from "./commands.ts";

export const accessAclName = "system.posix_acl_access";
export const defaultAclName = "system.posix_acl_default";

const version = 2;
const headerBytes = 4;
const entryBytes = 8;
const undefinedId = 0xffff_ffff;

const tagUserOwner = 0x01;
const tagUser = 0x02;
const tagGroupOwner = 0x04;
const tagGroup = 0x08;
const tagMask = 0x10;
const tagOther = 0x20;

interface AclEntry {
  readonly tag: number;
  permissions: number;
  readonly id: number;
}

export type Acl = readonly AclEntry[];

/** An ACL without entries is an empty list: setting it removes the ACL. An error code for what Linux would refuse. */
export function parseAcl(bytes: Uint8Array): Acl | ErrorCode {
  if (bytes.length < headerBytes || (bytes.length - headerBytes) % entryBytes !== 0) return "INVALID";
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== version) return "NOT_SUPPORTED";
  const entries: AclEntry[] = [];
  for (let at = headerBytes; at < bytes.length; at += entryBytes) {
    entries.push({ tag: view.getUint16(at, true), permissions: view.getUint16(at + 2, true), id: view.getUint32(at + 4, true) });
  }
  return entries.length === 0 || isWellFormed(entries) ? entries : "INVALID";
}

/** Owner, named users, owning group, named groups, mask, others, in this order; a mask wherever somebody is named. */
function isWellFormed(entries: Acl): boolean {
  const next: Readonly<Record<number, readonly number[]>> = {
    0: [tagUserOwner],
    [tagUserOwner]: [tagUser, tagGroupOwner],
    [tagUser]: [tagUser, tagGroupOwner],
    [tagGroupOwner]: [tagGroup, tagMask, tagOther],
    [tagGroup]: [tagGroup, tagMask],
    [tagMask]: [tagOther],
    [tagOther]: [],
  };
  let last = 0;
  let isNamed = false;
  for (const { tag, permissions, id } of entries) {
    if (permissions > 7 || !(next[last] as readonly number[]).includes(tag)) return false;
    if (tag === tagUser || tag === tagGroup) {
      if (id === undefinedId) return false;
      isNamed = true;
    }
    last = tag;
  }
  return last === tagOther && (!isNamed || entries.some((entry) => entry.tag === tagMask));
}

export function encodeAcl(entries: Acl): Uint8Array {
  const bytes = new Uint8Array(headerBytes + entries.length * entryBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, version, true);
  entries.forEach(({ tag, permissions, id }, index) => {
    const at = headerBytes + index * entryBytes;
    view.setUint16(at, tag, true);
    view.setUint16(at + 2, permissions, true);
    view.setUint32(at + 4, tag === tagUser || tag === tagGroup ? id : undefinedId, true);
  });
  return bytes;
}

function permissionsOf(entries: Acl, tag: number): number | null {
  return entries.find((entry) => entry.tag === tag)?.permissions ?? null;
}

/** The nine mode bits that the ACL stands for, and whether they say all of it. */
export function modeOfAcl(entries: Acl): { readonly bits: number; readonly isEquivalent: boolean } {
  const owner = permissionsOf(entries, tagUserOwner) ?? 0;
  const mask = permissionsOf(entries, tagMask);
  const group = mask ?? permissionsOf(entries, tagGroupOwner) ?? 0;
  const other = permissionsOf(entries, tagOther) ?? 0;
  return { bits: (owner << 6) | (group << 3) | other, isEquivalent: mask === null };
}

/** The access ACL after chmod: the group bits go to the mask where there is one. `bytes` is a stored, so a valid ACL. */
export function aclAfterChmod(bytes: Uint8Array, mode: number): Uint8Array {
  const entries = stored(bytes);
  const groupTag = permissionsOf(entries, tagMask) === null ? tagGroupOwner : tagMask;
  for (const entry of entries) {
    if (entry.tag === tagUserOwner) entry.permissions = (mode >> 6) & 7;
    else if (entry.tag === groupTag) entry.permissions = (mode >> 3) & 7;
    else if (entry.tag === tagOther) entry.permissions = mode & 7;
  }
  return encodeAcl(entries);
}

function stored(bytes: Uint8Array): Acl {
  const entries = parseAcl(bytes);
  return typeof entries === "string" ? [] : entries;
}

/**
 * What a new inode gets from its directory's default ACL: the mode asked for is limited by the ACL and the other way round
 * (no umask). `access` is null when the mode bits say it all.
 */
export function inheritAcl(bytes: Uint8Array, mode: number): { readonly mode: number; readonly access: Uint8Array | null } {
  const entries = stored(bytes);
  if (entries.length === 0) return { mode, access: null };
  const groupTag = permissionsOf(entries, tagMask) === null ? tagGroupOwner : tagMask;
  for (const entry of entries) {
    if (entry.tag === tagUserOwner) entry.permissions &= mode >> 6;
    else if (entry.tag === groupTag) entry.permissions &= mode >> 3;
    else if (entry.tag === tagOther) entry.permissions &= mode;
  }
  const { bits, isEquivalent } = modeOfAcl(entries);
  return { mode: (mode & ~0o777) | bits, access: isEquivalent ? null : encodeAcl(entries) };
}

/** For a caller that is neither root nor the owner. `gid` is the inode's group. Groups of the caller are known. */
export function aclAllows(bytes: Uint8Array, gid: number, caller: Caller, mask: number): boolean {
  const entries = stored(bytes);
  const limit = permissionsOf(entries, tagMask) ?? 7;
  let isMember = false;
  for (const { tag, permissions, id } of entries) {
    if (tag === tagUser && id === caller.uid) return (permissions & limit & mask) === mask;
    if (tag !== tagGroupOwner && tag !== tagGroup) continue;
    const group = tag === tagGroup ? id : gid;
    if (caller.gid !== group && caller.groups?.includes(group) !== true) continue;
    isMember = true;
    if ((permissions & mask) === mask) return (limit & mask) === mask;
  }
  return !isMember && ((permissionsOf(entries, tagOther) ?? 0) & mask) === mask;
}
