/**
 * What only the server decides about itself: format, sessions and their grants of inode numbers, the table of drives.
 *
 * Invariant: inode counts and drive indexes are given out once and never again.
 */
import { rootInode } from "@cfs/core";
import type { ClientId } from "@cfs/core";
import type { Format, GrantInodes, SetDrive } from "./commands.ts";
import { addInode } from "./make-node.ts";
import { done, fail } from "./outcome.ts";
import type { DriveRecord } from "./records.ts";
import type { Outcome, State } from "./state.ts";

export const formatVersion = 1;
/** Counts of one grant: enough for a million creates a second, few enough to lose when a session ends. */
export const grantCountMax = 1_000_000;
/** Inode counts are numbers of 53 bits less the 16 of the slot. */
const inodeCountMax: number = 2 ** 37 - 1;

function areDrivesInOrder(drives: readonly DriveRecord[]): boolean {
  return drives.every((drive, index) => drive.index === index);
}

export function format(state: State, command: Format): Outcome {
  const { content } = state;
  if (content === null || !areDrivesInOrder(command.drives)) return fail("INVALID");
  if (content.superblock() !== null) return fail("EXISTS");
  const drives = command.drives.map((drive) => ({ ...drive }));
  content.setSuperblock({ formatVersion, clusterId: command.clusterId, nextInodeCount: 2, nextSegment: 1, drives });
  const { uid, gid, time } = command;
  addInode(state, { ino: rootInode, kind: "directory", mode: 0o755, uid, gid, nlink: 2, rdev: 0, parent: rootInode, target: null }, time);
  return done;
}

export function openSession(state: State, clientId: ClientId): Outcome {
  const { content } = state;
  if (content === null) return fail("INVALID");
  if (content.session(clientId) !== null) return fail("EXISTS");
  content.setSession(clientId, { clientId, seq: 0, grants: [] });
  return done;
}

export function closeSession(state: State, clientId: ClientId): Outcome {
  const { content } = state;
  if (content === null) return fail("INVALID");
  if (content.session(clientId) === null) return fail("NOT_FOUND");
  content.setSession(clientId, null);
  return done;
}

export function grantInodes(state: State, command: GrantInodes): Outcome {
  const { content } = state;
  if (content === null || command.count < 1 || command.count > grantCountMax) return fail("INVALID");
  const superblock = content.superblock();
  const session = content.session(command.clientId);
  if (superblock === null || session === null) return fail("NOT_FOUND");
  const begin = superblock.nextInodeCount;
  const end = begin + command.count;
  if (end > inodeCountMax) return fail("NO_SPACE");
  content.setSuperblock(superblock);
  superblock.nextInodeCount = end;
  content.setSession(command.clientId, session);
  const last = session.grants.at(-1);
  if (last?.end === begin) last.end = end;
  else session.grants.push({ begin, end });
  content.granted(begin, end);
  return done;
}

/** Replaces the record at its index, or adds one at the end of the table. */
export function setDrive(state: State, command: SetDrive): Outcome {
  const superblock = state.content?.superblock() ?? null;
  const { drive } = command;
  if (state.content === null || superblock === null || drive.index > superblock.drives.length) return fail("INVALID");
  const known = superblock.drives[drive.index];
  if (known !== undefined && known.id !== drive.id) return fail("INVALID");
  state.content.setSuperblock(superblock);
  superblock.drives[drive.index] = { ...drive };
  return done;
}
