/**
 * A new size for a file: what lies past it goes, and what grows reads as zeros.
 *
 * Also the one place that keeps `allocatedBytes` of an inode and the sum over all inodes together.
 */
import type { ErrorCode } from "@cfs/core";
import { Accounts } from "./content/accounting.ts";
import type { IntendTruncate } from "./commands.ts";
import { dropFrom } from "./content/file-ranges.ts";
import { lessen, sums } from "./counters.ts";
import { done, fail } from "./outcome.ts";
import type { Inode } from "./records.ts";
import { regionBytes } from "./records.ts";
import type { ContentState, Outcome, State } from "./state.ts";

/** Region numbers have 32 bits: 4 PiB. */
export const fileSizeMax: number = regionBytes * 0x1_0000_0000;

export function sizeError(inode: Inode, sizeBytes: number): ErrorCode | null {
  if (inode.kind === "directory") return "IS_DIRECTORY";
  if (inode.kind !== "file" || sizeBytes < 0) return "INVALID";
  return sizeBytes > fileSizeMax ? "FILE_TOO_LARGE" : null;
}

/** `content` null: a partial state, which has no sums. */
export function setAllocated(content: ContentState | null, inode: Inode, allocatedBytes: number): void {
  if (content !== null && allocatedBytes !== inode.allocatedBytes) {
    const usage = content.usage();
    content.setUsage(usage);
    usage.allocatedBytes = lessen(content, usage.allocatedBytes, inode.allocatedBytes - allocatedBytes, sums.allocatedBytes);
  }
  inode.allocatedBytes = allocatedBytes;
}

/** Replaces the inline data, of an inode without extents. An empty array is none. */
export function setInline(content: ContentState | null, inode: Inode, bytes: Uint8Array | null): void {
  const isEmpty = bytes === null || bytes.length === 0;
  inode.inline = isEmpty ? null : bytes;
  inode.inlineBytes = isEmpty ? 0 : bytes.length;
  setAllocated(content, inode, inode.inlineBytes);
}

/** The inline bytes that stay after a cut, read before the first change; null when none are cut or none stay. */
export function truncateReads(state: State, inode: Inode, sizeBytes: number): Uint8Array | null {
  if (sizeBytes === 0 || sizeBytes >= inode.inlineBytes) return null;
  const inline = state.inline(inode);
  return inline === null ? null : Uint8Array.from(inline.subarray(0, sizeBytes));
}

function truncateExtents(content: ContentState | null, inode: Inode, sizeBytes: number): void {
  if (content === null) {
    inode.allocatedBytes = Math.min(inode.allocatedBytes, sizeBytes);
    inode.isAllocatedStale = sizeBytes > 0;
    return;
  }
  const accounts = new Accounts(content);
  dropFrom(content, accounts, inode.ino, sizeBytes);
  accounts.finish(inode);
  const intended = content.truncation(inode.ino);
  if (intended !== null && sizeBytes <= intended) content.setTruncation(inode.ino, null);
}

export function intendTruncate({ content }: State, { ino, sizeBytes }: IntendTruncate): Outcome {
  if (content === null) return fail("INVALID");
  content.setTruncation(ino, sizeBytes);
  return done;
}

/** `kept` comes from `truncateReads`. The inode has been announced as changing. */
export function truncate(state: State, inode: Inode, sizeBytes: number, kept: Uint8Array | null): void {
  if (inode.hasExtents) {
    truncateExtents(state.content, inode, sizeBytes);
    if (sizeBytes === 0) inode.hasExtents = false;
  } else if (sizeBytes < inode.inlineBytes) {
    setInline(state.content, inode, kept);
  }
  inode.sizeBytes = sizeBytes;
}
