/**
 * write: bytes come into a file, inline or as extents; also the spill of inline data to extents.
 *
 * Inline data and extents never live in one inode: a payload write over inline data that stays must be preceded by a spill
 * (`needsSpill`), which the sender makes because only it has the bytes at hand.
 * Access is not judged here: who may write was decided when the file was opened.
 */
import type { ErrorCode } from "@cfs/core";
import type { Allocate, CopyRange, Write, WriteSource } from "./commands.ts";
import { Accounts } from "./content/accounting.ts";
import { placeRange } from "./content/file-ranges.ts";
import { isPlaceable } from "./content/segments.ts";
import { done, fail } from "./outcome.ts";
import { modeWithoutSetId } from "./permission.ts";
import { inlineBytesMax } from "./records.ts";
import type { ExtentSource, Inode } from "./records.ts";
import type { ApplyContext, ContentState, Outcome, State } from "./state.ts";
import { fileSizeMax, setInline } from "./truncate.ts";

interface PlacedExtent {
  readonly lengthBytes: number;
  readonly source: ExtentSource;
}

/** May these bytes be sent as an inline write? */
export function fitsInline(inode: Inode, offsetBytes: number, lengthBytes: number): boolean {
  return !inode.hasExtents && offsetBytes + lengthBytes <= inlineBytesMax;
}

/** Must the inode's inline data be spilled before this command? For a payload write, an allocate, or the target of a copyRange. */
export function needsSpill(
  inode: Inode,
  command: Pick<Write | Allocate | CopyRange, "type" | "lengthBytes"> & {
    readonly offsetBytes: number;
    readonly action?: Allocate["action"];
  },
): boolean {
  if (inode.inlineBytes === 0) return false;
  const end = command.offsetBytes + command.lengthBytes;
  if (command.type === "allocate") return command.action !== "punch" && end > inlineBytesMax;
  return command.type === "copyRange" || command.offsetBytes > 0 || command.lengthBytes < inode.inlineBytes;
}

/** What a change of bytes does to any inode beside them. Announced by the caller. */
export function touchContent(inode: Inode, command: Pick<Write, "time">): void {
  inode.mtimeSec = command.time.sec;
  inode.mtimeNsec = command.time.nsec;
  inode.ctimeSec = command.time.sec;
  inode.ctimeNsec = command.time.nsec;
}

export function contentError(inode: Inode, offsetBytes: number, lengthBytes: number): ErrorCode | null {
  if (inode.kind === "directory") return "IS_DIRECTORY";
  if (inode.kind !== "file" || offsetBytes < 0 || lengthBytes < 0) return "INVALID";
  return offsetBytes + lengthBytes > fileSizeMax ? "FILE_TOO_LARGE" : null;
}

function extentsError(content: ContentState | null, command: Write, source: WriteSource, context: ApplyContext): ErrorCode | null {
  if (source.kind === "payload") return content !== null && context.payload === null ? "INVALID" : null;
  if (source.kind === "inline") return "INVALID";
  let sum = 0;
  for (const extent of source.extents) {
    if (content !== null && !isPlaceable(content, extent)) return "INVALID";
    sum += extent.lengthBytes;
  }
  return sum === command.lengthBytes ? null : "INVALID";
}

/** `isSpilled`: an earlier write of the same command takes the inline data away. */
export function writeError(state: State, inode: Inode, command: Write, context: ApplyContext, isSpilled: boolean): ErrorCode | null {
  const { source, offsetBytes, lengthBytes, spill } = command;
  const error = contentError(inode, offsetBytes, lengthBytes);
  if (error !== null) return error;
  const inlineBytes = isSpilled ? 0 : inode.inlineBytes;
  if (source.kind === "inline") {
    return !spill && !isSpilled && fitsInline(inode, offsetBytes, lengthBytes) && source.bytes.length === lengthBytes ? null : "INVALID";
  }
  const keepsInline = inlineBytes > 0 && (offsetBytes > 0 || lengthBytes < inlineBytes);
  if (spill && (inlineBytes === 0 || offsetBytes !== 0 || lengthBytes !== inlineBytes)) return "INVALID";
  return keepsInline ? "INVALID" : extentsError(state.content, command, source, context);
}

/** A larger array when the write goes past the old end, always a new one: inline data is never changed in place. */
export function overlay(old: Uint8Array | null, offsetBytes: number, bytes: Uint8Array): Uint8Array {
  const oldBytes = old === null ? 0 : old.length;
  const merged = new Uint8Array(Math.max(oldBytes, offsetBytes + bytes.length));
  if (old !== null) merged.set(old);
  merged.set(bytes, offsetBytes);
  return merged;
}

function placeExtents(content: ContentState, inode: Inode, offsetBytes: number, extents: readonly PlacedExtent[]): void {
  const accounts = new Accounts(content);
  let at = offsetBytes;
  for (const { lengthBytes, source } of extents) {
    placeRange(content, accounts, inode.ino, at, at + lengthBytes, source);
    at += lengthBytes;
  }
  accounts.finish(inode);
}

function extentsOf(command: Write, context: ApplyContext): readonly PlacedExtent[] {
  if (command.source.kind === "extents") return command.source.extents;
  if (context.payload === null) return [];
  // Field by field: the caller's record may carry more, and this one is kept.
  const { fileId, recordOffsetBytes } = context.payload;
  return [{ lengthBytes: command.lengthBytes, source: { kind: "journal", fileId, recordOffsetBytes, payloadOffsetBytes: 0 } }];
}

/** Makes a valid write. The inode has been announced as changing. `old`: its inline data, for an inline write. */
export function applyWrite(state: State, inode: Inode, command: Write, context: ApplyContext, old: Uint8Array | null): void {
  const { source, offsetBytes, lengthBytes } = command;
  const end = offsetBytes + lengthBytes;
  if (source.kind === "inline") {
    setInline(state.content, inode, overlay(old, offsetBytes, source.bytes));
  } else {
    if (inode.inlineBytes > 0) setInline(state.content, inode, null);
    inode.hasExtents = true;
    if (state.content === null) guessAllocated(inode, lengthBytes, end);
    else placeExtents(state.content, inode, offsetBytes, extentsOf(command, context));
  }
  if (command.spill) return;
  inode.sizeBytes = Math.max(inode.sizeBytes, end);
  if (command.setTimes) touchContent(inode, command);
  if (command.killSetId) inode.mode = modeWithoutSetId(inode, command.caller);
}

/** A partial state cannot know what was a hole before; this is near enough until the server is asked. */
export function guessAllocated(inode: Inode, lengthBytes: number, end: number): void {
  inode.allocatedBytes = Math.max(inode.allocatedBytes, Math.min(inode.allocatedBytes + lengthBytes, Math.max(inode.sizeBytes, end)));
  inode.isAllocatedStale = true;
}

/** The old inline data that an inline write keeps a part of; read before the first change. */
function writeReads(state: State, inode: Inode, command: Write): Uint8Array | null {
  const isNeeded =
    command.source.kind === "inline" && inode.inlineBytes > 0 && (command.offsetBytes > 0 || command.lengthBytes < inode.inlineBytes);
  return isNeeded ? state.inline(inode) : null;
}

export function write(state: State, command: Write, context: ApplyContext): Outcome {
  const inode = state.inode(command.ino);
  if (inode === null) return fail("STALE_HANDLE");
  const error = writeError(state, inode, command, context, false);
  if (error !== null) return fail(error);
  if (command.lengthBytes === 0) return done;
  const old = writeReads(state, inode, command);
  state.changeInode(inode);
  applyWrite(state, inode, command, context, old);
  return done;
}
