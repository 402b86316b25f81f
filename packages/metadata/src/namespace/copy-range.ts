/**
 * copyRange: copy_file_range(2) without copying: the target's range points at the same bytes as the source's, counted in refs.
 *
 * Holes and reserved ranges of the source become holes of the target: they read the same. Past the source's end nothing is copied.
 */
import type { ErrorCode } from "@cfs/core";
import type { CopyRange } from "./commands.ts";
import { Accounts } from "./content/accounting.ts";
import { piecesOf, placeRange, punchRange } from "./content/file-ranges.ts";
import { done, fail } from "./outcome.ts";
import { isRoot, modeWithoutSetId } from "./permission.ts";
import type { Inode } from "./records.ts";
import type { ContentState, Outcome, State } from "./state.ts";
import { contentError, guessAllocated, touchContent } from "./write.ts";

function copyError(source: Inode, target: Inode, command: CopyRange): ErrorCode | null {
  const { sourceOffsetBytes, targetOffsetBytes, lengthBytes } = command;
  const error = contentError(source, sourceOffsetBytes, 0) ?? contentError(target, targetOffsetBytes, lengthBytes);
  if (error !== null) return error;
  if (source.inlineBytes > 0 || target.inlineBytes > 0) return "INVALID";
  return source.ino === target.ino && Math.abs(sourceOffsetBytes - targetOffsetBytes) < lengthBytes ? "INVALID" : null;
}

function shareExtents(content: ContentState, target: Inode, command: CopyRange, lengthBytes: number): void {
  const { source, sourceOffsetBytes, targetOffsetBytes } = command;
  const accounts = new Accounts(content);
  // The pieces are a copy: source and target may lie in one region.
  for (const piece of piecesOf(content, source, sourceOffsetBytes, sourceOffsetBytes + lengthBytes)) {
    const begin = piece.offsetBytes - sourceOffsetBytes + targetOffsetBytes;
    const end = begin + piece.lengthBytes;
    if (piece.source.kind === "hole" || piece.source.kind === "reserved") punchRange(content, accounts, target.ino, begin, end);
    else {
      accounts.share(piece.source, piece.lengthBytes);
      placeRange(content, accounts, target.ino, begin, end, piece.source);
    }
  }
  accounts.finish(target);
}

export function copyRange(state: State, command: CopyRange): Outcome {
  const source = state.inode(command.source);
  const target = command.source === command.target ? source : state.inode(command.target);
  if (source === null || target === null) return fail("STALE_HANDLE");
  const error = copyError(source, target, command);
  if (error !== null) return fail(error);
  const lengthBytes = Math.min(command.lengthBytes, source.sizeBytes - command.sourceOffsetBytes);
  if (lengthBytes <= 0) return done;

  state.changeInode(target);
  const end = command.targetOffsetBytes + lengthBytes;
  target.hasExtents = true;
  if (state.content === null) guessAllocated(target, lengthBytes, end);
  else shareExtents(state.content, target, command, lengthBytes);
  target.sizeBytes = Math.max(target.sizeBytes, end);
  touchContent(target, command);
  if (!isRoot(command.caller)) target.mode = modeWithoutSetId(target, command.caller);
  return done;
}
