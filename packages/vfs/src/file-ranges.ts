/**
 * Ranges of files: fallocate, SEEK_DATA and SEEK_HOLE, copy_file_range.
 *
 * A copy between files with extents shares them; from a file without extents the few inline bytes are written and its hole is
 * made a hole of the target, so that copying a sparse file costs what it holds and not its size.
 * Source: fallocate(2), lseek(2), copy_file_range(2); the order of the checks is Linux's.
 */
import { fileSizeMax, needsSpill, seekData, seekHole } from "@cfs/metadata";
import type { Allocate, CopyRange, Inode } from "@cfs/metadata";
import type { Attempts } from "./attempts.ts";
import { setAttributesOf } from "./attributes.ts";
import type { CommandRunner } from "./command-runner.ts";
import type { FileContent } from "./file-content.ts";
import { canWrite, openAccessMask, openAppend, openWriteOnly } from "./handles.ts";
import type { FileHandle } from "./handles.ts";
import type { PartialState } from "./partial-state.ts";
import { quickError } from "./quick-error.ts";
import type { Remote } from "./remote.ts";
import { newQuestion } from "./space-gate.ts";
import type { SpaceGate, SpaceQuestion } from "./space-gate.ts";
import type { Awaitable, Caller } from "./vfs.ts";

export interface FileRangesParts {
  readonly remote: Remote;
  readonly state: PartialState;
  readonly commands: CommandRunner;
  readonly attempts: Attempts;
  readonly space: SpaceGate;
  readonly content: FileContent;
}

const keepSizeBit = 1;
const punchHoleBit = 2;
const zeroRangeBit = 16;

function actionOf(mode: number): Allocate["action"] {
  const action = mode & ~keepSizeBit;
  if (action === 0) return "reserve";
  if (action === zeroRangeBit) return "zero";
  if (action === punchHoleBit && (mode & keepSizeBit) !== 0) return "punch";
  throw quickError("NOT_SUPPORTED", `fallocate mode ${mode}`);
}

export class FileRanges {
  readonly #remote: Remote;
  readonly #state: PartialState;
  readonly #commands: CommandRunner;
  readonly #attempts: Attempts;
  readonly #space: SpaceGate;
  readonly #content: FileContent;

  constructor(parts: FileRangesParts) {
    this.#remote = parts.remote;
    this.#state = parts.state;
    this.#commands = parts.commands;
    this.#attempts = parts.attempts;
    this.#space = parts.space;
    this.#content = parts.content;
  }

  allocate(file: FileHandle, mode: number, offsetBytes: number, lengthBytes: number, caller: Caller): Awaitable<void> {
    const action = actionOf(mode);
    if (!canWrite(file)) throw quickError("BAD_HANDLE", `handle ${file.handle} is not open for writing`);
    if (offsetBytes < 0 || lengthBytes <= 0) throw quickError("INVALID", `fallocate of ${lengthBytes} bytes at ${offsetBytes}`);
    const space = newQuestion();
    return this.#commands.change(() => {
      const inode = this.#content.inodeOf(file.ino);
      if (offsetBytes + lengthBytes > fileSizeMax)
        throw quickError("FILE_TOO_LARGE", `fallocate of ${lengthBytes} bytes at ${offsetBytes}`);
      // What a dense file holds already needs no more room; of a sparse one we cannot know, and ask for too much.
      const needBytes = action === "punch" ? 0 : Math.min(lengthBytes, Math.max(0, offsetBytes + lengthBytes - inode.allocatedBytes));
      this.#space.check(needBytes, space);
      const command: Allocate = {
        type: "allocate",
        ino: file.ino,
        action,
        keepSize: (mode & keepSizeBit) !== 0,
        offsetBytes,
        lengthBytes,
        caller,
        time: this.#commands.now(),
      };
      if (needsSpill(inode, command)) this.#content.spill(inode, caller);
      this.#commands.apply(command, null, needBytes);
    });
  }

  seek(file: FileHandle, offsetBytes: number, whence: number): Awaitable<number> {
    if (whence !== seekData && whence !== seekHole) throw quickError("INVALID", `seek with whence ${whence}`);
    return this.#attempts.run(() => {
      const inode = this.#content.inodeOf(file.ino);
      if (offsetBytes < 0 || offsetBytes >= inode.sizeBytes)
        throw quickError("NO_DEVICE", `nothing at ${offsetBytes} of ${inode.sizeBytes} bytes`);
      if (inode.hasExtents) return this.#remote.seek(file.ino, offsetBytes, whence);
      if (whence === seekHole) return Math.max(offsetBytes, inode.inlineBytes);
      if (offsetBytes < inode.inlineBytes) return offsetBytes;
      throw quickError("NO_DEVICE", `no data after ${offsetBytes}`);
    });
  }

  copy(
    from: FileHandle,
    fromOffsetBytes: number,
    to: FileHandle,
    toOffsetBytes: number,
    lengthBytes: number,
    caller: Caller,
  ): Awaitable<number> {
    if ((from.flags & openAccessMask) === openWriteOnly) throw quickError("BAD_HANDLE", `handle ${from.handle} is not open for reading`);
    if (!canWrite(to) || (to.flags & openAppend) !== 0) throw quickError("BAD_HANDLE", `handle ${to.handle} is not open for plain writing`);
    if (fromOffsetBytes < 0 || toOffsetBytes < 0 || lengthBytes < 0) throw quickError("INVALID", "copy with a negative offset");
    const space = newQuestion();
    return this.#commands.change(() => {
      const source = this.#content.inodeOf(from.ino);
      const target = this.#content.inodeOf(to.ino);
      const length = Math.min(lengthBytes, source.sizeBytes - fromOffsetBytes);
      if (length <= 0) return 0;
      if (source === target && Math.abs(fromOffsetBytes - toOffsetBytes) < length) throw quickError("INVALID", "copy onto itself");
      if (toOffsetBytes + length > fileSizeMax) throw quickError("FILE_TOO_LARGE", `copy of ${length} bytes to ${toOffsetBytes}`);
      if (source.hasExtents) this.#share(source, fromOffsetBytes, caller, target, toOffsetBytes, length);
      else this.#copyInline(source, fromOffsetBytes, caller, target, toOffsetBytes, length, space);
      return length;
    });
  }

  #share(source: Inode, sourceOffsetBytes: number, caller: Caller, target: Inode, targetOffsetBytes: number, lengthBytes: number): void {
    const command: CopyRange = {
      type: "copyRange",
      source: source.ino,
      sourceOffsetBytes,
      target: target.ino,
      targetOffsetBytes,
      lengthBytes,
      caller,
      time: this.#commands.now(),
    };
    if (needsSpill(target, { type: "copyRange", offsetBytes: targetOffsetBytes, lengthBytes })) this.#content.spill(target, caller);
    this.#commands.apply(command);
  }

  /** The source has inline data up to somewhere and a hole from there to its end. */
  #copyInline(
    source: Inode,
    fromOffsetBytes: number,
    caller: Caller,
    target: Inode,
    toOffsetBytes: number,
    lengthBytes: number,
    space: SpaceQuestion,
  ): void {
    const inline = this.#state.inline(source)?.subarray(fromOffsetBytes, fromOffsetBytes + lengthBytes) ?? noBytes;
    // Everything that may be missing is asked for before the first change.
    this.#state.inline(target);
    this.#space.check(inline.length, space);
    const killSetId = caller.uid !== 0;
    const end = toOffsetBytes + lengthBytes;
    const holeBegin = toOffsetBytes + inline.length;
    if (inline.length > 0) this.#content.writeBytes(target, toOffsetBytes, inline, caller, killSetId, true);
    const punchEnd = Math.min(end, target.sizeBytes);
    if (holeBegin < punchEnd) {
      const what = {
        type: "allocate",
        ino: target.ino,
        action: "punch",
        keepSize: true,
        offsetBytes: holeBegin,
        lengthBytes: punchEnd - holeBegin,
      } as const;
      this.#commands.apply({ ...what, caller, time: this.#commands.now() });
    }
    if (end > target.sizeBytes) {
      const grow = setAttributesOf(target.ino, { sizeBytes: end, killSetId }, { ...caller, groups: null }, this.#commands.now());
      this.#commands.apply(grow);
    }
  }
}

const noBytes: Uint8Array = new Uint8Array(0);
