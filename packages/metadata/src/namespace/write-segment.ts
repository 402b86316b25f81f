/**
 * writeSegment: large writes whose bytes went straight to a new segment. The segment appears and all writes point at it, at once.
 *
 * A write to an inode that went away meanwhile is left out: nobody can see its bytes, and the others must not fail for it.
 */
import type { ErrorCode, InodeNumber } from "@cfs/core";
import type { Write, WriteSegment } from "./commands.ts";
import { addSegment, isPlaceable, segmentError } from "./content/segments.ts";
import type { NewReference } from "./content/segments.ts";
import { done, fail } from "./outcome.ts";
import type { ApplyContext, Outcome, State } from "./state.ts";
import { applyWrite, writeError } from "./write.ts";

/** The segment does not exist yet, so its chunks are looked up in the command. */
function sourceError(state: State, write: Write, command: WriteSegment): ErrorCode | null {
  const { content } = state;
  if (content === null || write.source.kind !== "extents") return "INVALID";
  let sum = 0;
  for (const extent of write.source.extents) {
    if (!isPlaceable(content, extent, command.segment)) return "INVALID";
    sum += extent.lengthBytes;
  }
  return sum === write.lengthBytes && sum > 0 ? null : "INVALID";
}

function writesError(state: State, command: WriteSegment, context: ApplyContext): ErrorCode | null {
  const written = new Set<InodeNumber>();
  for (const write of command.writes) {
    const inode = state.inode(write.ino);
    if (inode === null) continue;
    // Checked as a payload of its length: whether the chunks are there is judged by sourceError.
    const stand: Write = { ...write, source: { kind: "payload" } };
    const error =
      sourceError(state, write, command) ??
      writeError(state, inode, stand, { ...context, payload: { fileId: 0, recordOffsetBytes: 0 } }, written.has(write.ino));
    if (error !== null) return error;
    written.add(write.ino);
  }
  return null;
}

/** Where the writes put the chunks. */
function* referencesOf(writes: readonly Write[]): Generator<NewReference> {
  for (const { ino, offsetBytes, source } of writes) {
    if (source.kind !== "extents") continue;
    let at = offsetBytes;
    for (const extent of source.extents) {
      yield { ino, offsetBytes: at, source: extent.source };
      at += extent.lengthBytes;
    }
  }
}

export function writeSegment(state: State, command: WriteSegment, context: ApplyContext): Outcome {
  const { content } = state;
  if (content === null) return fail("INVALID");
  const error = segmentError(content, command.segment) ?? writesError(state, command, context);
  if (error !== null) return fail(error);
  addSegment(content, command.segment, referencesOf(command.writes));
  for (const write of command.writes) {
    const inode = state.inode(write.ino);
    if (inode === null) continue;
    state.changeInode(inode);
    applyWrite(state, inode, write, context, null);
  }
  return done;
}
