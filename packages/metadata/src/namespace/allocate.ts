/**
 * allocate: fallocate(2) as reserve, punch and zero.
 *
 * reserve: holes become reserved extents (they read as zeros and count as allocated); data stays.
 * punch: data becomes a hole, the size stays. zero: punch, then reserve.
 * A file without extents stays inline while the range ends within the inline limit: there zeros are simply stored.
 * Source: fallocate(2).
 */
import type { ErrorCode } from "@cfs/core";
import type { Allocate } from "./commands.ts";
import { Accounts } from "./content/accounting.ts";
import { punchRange, reserveHoles } from "./content/file-ranges.ts";
import { done, fail } from "./outcome.ts";
import { isRoot, modeWithoutSetId } from "./permission.ts";
import { inlineBytesMax } from "./records.ts";
import type { Inode } from "./records.ts";
import type { ContentState, Outcome, State } from "./state.ts";
import { setInline } from "./truncate.ts";
import { contentError, guessAllocated, needsSpill, touchContent } from "./write.ts";

function allocateError(inode: Inode, command: Allocate): ErrorCode | null {
  const error = contentError(inode, command.offsetBytes, command.lengthBytes);
  if (error !== null) return error;
  if (command.lengthBytes === 0) return "INVALID";
  if (command.action === "punch" && !command.keepSize) return "NOT_SUPPORTED";
  return needsSpill(inode, command) ? "INVALID" : null;
}

/** Does the range stay within what an inode without extents can hold inline? */
function staysInline(inode: Inode, command: Allocate): boolean {
  return !inode.hasExtents && (command.action === "punch" || command.offsetBytes + command.lengthBytes <= inlineBytesMax);
}

/** The inline data afterwards. `sizeBytes` is the new size: inline data never goes past it. */
function inlineAfter(old: Uint8Array | null, command: Allocate, sizeBytes: number): Uint8Array {
  const { action, offsetBytes, lengthBytes } = command;
  const end = offsetBytes + lengthBytes;
  const oldBytes = old === null ? 0 : old.length;
  let bytes = action === "punch" ? oldBytes : Math.max(oldBytes, Math.min(end, sizeBytes));
  if (action === "punch" && end >= oldBytes) bytes = Math.min(oldBytes, offsetBytes);
  const merged = new Uint8Array(bytes);
  if (old !== null) merged.set(old.subarray(0, bytes));
  if (action !== "reserve") merged.fill(0, Math.min(offsetBytes, bytes), Math.min(end, bytes));
  return merged;
}

function changeExtents(content: ContentState, inode: Inode, command: Allocate): void {
  const { action, offsetBytes, lengthBytes } = command;
  const end = offsetBytes + lengthBytes;
  const accounts = new Accounts(content);
  if (action !== "reserve") punchRange(content, accounts, inode.ino, offsetBytes, end);
  if (action !== "punch") reserveHoles(content, accounts, inode.ino, offsetBytes, end);
  accounts.finish(inode);
}

function changeContent(state: State, inode: Inode, command: Allocate, sizeBytes: number): void {
  inode.hasExtents = true;
  if (state.content !== null) changeExtents(state.content, inode, command);
  else if (command.action === "punch") inode.isAllocatedStale = true;
  else guessAllocated(inode, command.lengthBytes, sizeBytes);
}

export function allocate(state: State, command: Allocate): Outcome {
  const inode = state.inode(command.ino);
  if (inode === null) return fail("STALE_HANDLE");
  const error = allocateError(inode, command);
  if (error !== null) return fail(error);
  const isInline = staysInline(inode, command);
  const old = isInline && inode.inlineBytes > 0 ? state.inline(inode) : null;

  state.changeInode(inode);
  const sizeBytes = command.keepSize ? inode.sizeBytes : Math.max(inode.sizeBytes, command.offsetBytes + command.lengthBytes);
  if (isInline) setInline(state.content, inode, inlineAfter(old, command, sizeBytes));
  else changeContent(state, inode, command, sizeBytes);
  inode.sizeBytes = sizeBytes;
  touchContent(inode, command);
  if (!isRoot(command.caller)) inode.mode = modeWithoutSetId(inode, command.caller);
  return done;
}
