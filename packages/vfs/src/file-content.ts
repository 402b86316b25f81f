/**
 * Reading and writing files: inline data here, everything else as commands with payloads and as reads of the server.
 *
 * A file of up to 4096 bytes keeps its data in the inode. A write that leaves data past that spills first: the inline bytes are
 * sent as a payload of their own, then the write follows. The kernel never sees bytes past the size.
 * Times: a write sets mtime and ctime, except where a kernel's write-back cache owns the times and sends them by SETATTR
 * (`kernelOwnsTimes`): a page that is written back after utimensat(2) must not undo it.
 */
import type { InodeNumber } from "@cfs/core";
import { fileSizeMax, fitsInline, needsSpill } from "@cfs/metadata";
import type { Inode, Write } from "@cfs/metadata";
import type { Attempts } from "./attempts.ts";
import { atimeUpdateOf, isAtimeDue } from "./attributes.ts";
import type { AtimeMode } from "./attributes.ts";
import type { CommandRunner } from "./command-runner.ts";
import { canWrite, openAppend, openNoAtime } from "./handles.ts";
import type { FileHandle } from "./handles.ts";
import type { PartialState } from "./partial-state.ts";
import type { PayloadPool } from "./payload-pool.ts";
import { pieceBytesMax } from "./payload-pool.ts";
import { quickError } from "./quick-error.ts";
import { cutResult, emptyResult, memoryResult } from "./read-results.ts";
import type { Remote } from "./remote.ts";
import { newQuestion } from "./space-gate.ts";
import type { SpaceGate, SpaceQuestion } from "./space-gate.ts";
import type { Awaitable, Caller, ReadResult, VfsWait, WriteOptions } from "./vfs.ts";

export interface FileContentParts {
  readonly remote: Remote;
  readonly state: PartialState;
  readonly commands: CommandRunner;
  readonly attempts: Attempts;
  readonly pool: PayloadPool;
  readonly space: SpaceGate;
}

export interface FileContentOptions {
  readonly atime: AtimeMode;
  /** A kernel's write-back cache sends the times of what it writes (see the header). */
  readonly kernelOwnsTimes: boolean;
}

const capabilityName = "security.capability";
const superuser: Caller = { uid: 0, gid: 0, pid: 0, groups: null };

export class FileContent {
  readonly #remote: Remote;
  readonly #state: PartialState;
  readonly #commands: CommandRunner;
  readonly #attempts: Attempts;
  readonly #pool: PayloadPool;
  readonly #space: SpaceGate;
  readonly #options: FileContentOptions;

  constructor(parts: FileContentParts, options: FileContentOptions) {
    this.#remote = parts.remote;
    this.#state = parts.state;
    this.#commands = parts.commands;
    this.#attempts = parts.attempts;
    this.#pool = parts.pool;
    this.#space = parts.space;
    this.#options = options;
  }

  /** The inode of an open file, inside a step. */
  inodeOf(ino: InodeNumber): Inode {
    const inode = this.#state.inode(ino);
    if (inode === null) throw quickError("STALE_HANDLE", `inode ${ino} is gone`);
    if (inode.kind === "directory") throw quickError("IS_DIRECTORY", `inode ${ino} is a directory`);
    if (inode.kind !== "file") throw quickError("INVALID", `inode ${ino} is a ${inode.kind}`);
    return inode;
  }

  read(file: FileHandle, offsetBytes: number, lengthBytes: number, wait?: VfsWait): Awaitable<ReadResult> {
    if (offsetBytes < 0 || lengthBytes < 0) throw quickError("INVALID", `read of ${lengthBytes} bytes at ${offsetBytes}`);
    return this.#attempts.run(() => {
      const inode = this.inodeOf(file.ino);
      const length = Math.min(lengthBytes, inode.sizeBytes - offsetBytes);
      if (length <= 0) return emptyResult;
      if (inode.hasExtents) return this.#readRemote(file, inode, offsetBytes, length, wait);
      const inline = this.#state.inline(inode);
      this.#touch(file, inode);
      return memoryResult(inline?.subarray(offsetBytes, offsetBytes + length) ?? null, length);
    });
  }

  /** A new access time where the mode of the mount asks for one. */
  touchAtime(inode: Inode): void {
    if (!this.isAtimeDue(inode)) return;
    this.#commands.apply(atimeUpdateOf(inode, this.#commands.now()));
  }

  isAtimeDue(inode: Inode): boolean {
    return this.#options.atime !== "noatime" && !this.#commands.isReadOnly && isAtimeDue(inode, this.#options.atime, this.#commands.now());
  }

  write(file: FileHandle, offsetBytes: number, data: Uint8Array, options: WriteOptions): Awaitable<number> {
    if (!canWrite(file)) throw quickError("BAD_HANDLE", `handle ${file.handle} is not open for writing`);
    if (offsetBytes < 0) throw quickError("INVALID", `write at ${offsetBytes}`);
    if (data.length === 0) return 0;
    if (data.length > pieceBytesMax) return this.#writePieces(file, offsetBytes, data, options);
    const space = newQuestion();
    let bytes = data;
    let isWritten = false;
    const written = this.#commands.change(() => {
      const count = this.#writeAt(file, this.#offsetOf(file, offsetBytes, options), bytes, options, space);
      isWritten = true;
      return count;
    });
    // `data` is borrowed until this call returns; a later attempt needs bytes of its own.
    if (!isWritten) bytes = new Uint8Array(data);
    return written;
  }

  async #writePieces(file: FileHandle, offsetBytes: number, borrowed: Uint8Array, options: WriteOptions): Promise<number> {
    const data = new Uint8Array(borrowed);
    let written = 0;
    while (written < data.length) {
      const piece = data.subarray(written, written + pieceBytesMax);
      try {
        written += await this.write(file, offsetBytes + written, piece, options);
      } catch (reason) {
        if (written === 0) throw reason;
        break;
      }
    }
    return written;
  }

  #offsetOf(file: FileHandle, offsetBytes: number, options: WriteOptions): number {
    return (file.flags & openAppend) !== 0 && !options.fromPageCache ? this.inodeOf(file.ino).sizeBytes : offsetBytes;
  }

  /** Inside a step: the write, with the spill before it where one is needed. */
  #writeAt(file: FileHandle, offsetBytes: number, data: Uint8Array, options: WriteOptions, space: SpaceQuestion): number {
    const inode = this.inodeOf(file.ino);
    if (offsetBytes + data.length > fileSizeMax) throw quickError("FILE_TOO_LARGE", `write of ${data.length} bytes at ${offsetBytes}`);
    this.#space.check(data.length, space, { ino: inode.ino, offsetBytes, lengthBytes: data.length });
    if (!options.fromPageCache) this.#dropCapability(inode);
    const setTimes = !(options.fromPageCache && this.#options.kernelOwnsTimes);
    this.writeBytes(inode, offsetBytes, data, options.caller ?? file.caller, options.killSetId, setTimes);
    return data.length;
  }

  /** Every write(2) takes a program's capabilities away (capabilities(7)). The kernel does so itself for what goes by its page cache. */
  #dropCapability(inode: Inode): void {
    if (!inode.xattrNames.includes(capabilityName)) return;
    // What the write may miss is asked for before the first change.
    this.#state.inline(inode);
    const what = { ino: inode.ino, name: capabilityName, value: null, flags: 0, killSetGid: false } as const;
    this.#commands.apply({ type: "setXattr", ...what, caller: superuser, time: this.#commands.now() });
  }

  /** Inside a step, after the checks. `data` is borrowed. */
  writeBytes(inode: Inode, offsetBytes: number, data: Uint8Array, caller: Caller, killSetId: boolean, setTimes: boolean): void {
    const common = {
      type: "write",
      ino: inode.ino,
      offsetBytes,
      lengthBytes: data.length,
      setTimes,
      killSetId,
      spill: false,
      caller,
      time: this.#commands.now(),
    } as const;
    if (fitsInline(inode, offsetBytes, data.length)) {
      this.#commands.apply({ ...common, source: { kind: "inline", bytes: new Uint8Array(data) } }, null, data.length);
      return;
    }
    if (needsSpill(inode, common)) this.spill(inode, caller);
    this.#applyPayload({ ...common, source: { kind: "payload" } }, data);
  }

  /** Inside a step: moves the inline data to extents. */
  spill(inode: Inode, caller: Caller): void {
    const inline = this.#state.inline(inode);
    if (inline === null) return;
    const lengthBytes = inline.length;
    const command: Write = {
      type: "write",
      ino: inode.ino,
      offsetBytes: 0,
      lengthBytes,
      source: { kind: "payload" },
      setTimes: false,
      killSetId: false,
      spill: true,
      caller,
      time: this.#commands.now(),
    };
    this.#applyPayload(command, inline);
  }

  #applyPayload(command: Write, data: Uint8Array): void {
    const payload = this.#pool.copy(data);
    try {
      this.#commands.apply(command, payload, data.length);
    } catch (reason) {
      payload.release();
      throw reason;
    }
  }

  #touch(file: FileHandle, inode: Inode): void {
    if ((file.flags & openNoAtime) === 0) this.touchAtime(inode);
  }

  async #readRemote(file: FileHandle, inode: Inode, offsetBytes: number, lengthBytes: number, wait?: VfsWait): Promise<ReadResult> {
    const reading = this.#remote.read(inode.ino, offsetBytes, lengthBytes, wait);
    this.#touch(file, inode);
    const result = await reading;
    const sizeBytes = this.#state.peekInode(file.ino)?.inode?.sizeBytes ?? offsetBytes + lengthBytes;
    return cutResult(result, Math.min(lengthBytes, Math.max(0, sizeBytes - offsetBytes)));
  }
}
