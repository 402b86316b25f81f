/** Operations on open files: open, create, read, write, sync, space, copy. */
import { CfsError, type InodeNumber } from "@cfs/core";
import type { Awaitable, Caller, Entry, OpenFile, ReadResult, WriteOptions } from "@cfs/vfs";
import { undoNothing, Wait, type Context, type Operation, type ReplyWith, type Undo } from "../context.ts";
import { fsyncDataOnly, opcode, openFlag, openKillSetId, openReply, writeFromCache, writeInBytes, writeKillSetId } from "../protocol.ts";
import { giveBack } from "../replies.ts";
import type { Request } from "../request.ts";
import { newNode, replyEmpty } from "./namespace.ts";

type Created = { entry: Entry; file: OpenFile };

function replyFlags(context: Context, file: OpenFile, flags: number): number {
  let result = file.keepCache ? openReply.keepCache : 0;
  // The Vfs orders writes itself, so the kernel need not.
  if (file.direct) result |= openReply.directIo | openReply.parallelDirectWrites;
  // What was never written has nothing to report at close(2): one round trip less.
  if ((flags & openFlag.accessMode) === openFlag.readOnly && !context.hasWritebackCache) result |= openReply.noFlush;
  return result;
}

function refuseWriting(context: Context, flags: number): void {
  const isWriting = (flags & openFlag.accessMode) !== openFlag.readOnly || (flags & openFlag.truncate) !== 0;
  if (context.isReadOnly && isWriting) throw new CfsError("READ_ONLY", "the mount is read-only");
}

/**
 * With writeback cache the kernel reads pages that it fills in part and places appends itself: it needs a file to read. Such a read is
 * nobody's read(2) when the file is open for writing only.
 */
function vfsFlags(context: Context, flags: number): number {
  if (!context.hasWritebackCache) return flags;
  const placed = flags & ~openFlag.append;
  if ((flags & openFlag.accessMode) !== openFlag.writeOnly) return placed;
  return (placed & ~openFlag.accessMode) | openFlag.readWrite | openFlag.noAtime;
}

const undoOpen: Undo<OpenFile> = (vfs, file) => giveBack(vfs, { kind: "file", handle: file.handle });

/** fuse_open_in: | flags 4 | open flags 4 |. */
function open(context: Context, request: Request): void {
  const flags = request.u32(0);
  refuseWriting(context, flags);
  const ino = request.ino;
  const caller = context.caller(request);
  const killSetId = (request.u32(4) & openKillSetId) !== 0;
  let file = context.vfs.open(ino, vfsFlags(context, flags), caller);
  if (killSetId) file = killSetIdThen(context, file, ino, caller);
  const reply: ReplyWith<OpenFile> = (replies, low, upper, opened) => {
    replies.file(low, upper, opened, replyFlags(context, opened, flags), "file");
  };
  // Truncation lasts, so such an open is not given up halfway.
  context.answer(request, file, reply, (flags & openFlag.truncate) !== 0 ? null : undoOpen);
}

/** O_TRUNC by a caller without CAP_FSETID clears the set-id bits (HANDLE_KILLPRIV_V2). */
async function killSetIdThen(context: Context, opening: Awaitable<OpenFile>, ino: InodeNumber, caller: Caller): Promise<OpenFile> {
  const file = await opening;
  try {
    await context.vfs.setAttributes(ino, { killSetId: true }, caller);
  } catch (reason) {
    undoOpen(context.vfs, file);
    throw reason;
  }
  return file;
}

function replyCreated(context: Context, flags: number): ReplyWith<Created> {
  return (replies, low, upper, { entry, file }) => replies.created(low, upper, entry, file, replyFlags(context, file, flags));
}

/** fuse_create_in: | flags 4 | mode 4 | umask 4 | open flags 4 |, name. */
function create(context: Context, request: Request): void {
  const flags = request.u32(0);
  const node = newNode("file", request.u32(4), request.u32(8));
  const caller = context.caller(request);
  let created = context.vfs.create(request.ino, request.name(16), node, vfsFlags(context, flags), caller);
  if ((request.u32(12) & openKillSetId) !== 0 && (flags & openFlag.truncate) !== 0) created = killSetIdOfCreated(context, created, caller);
  context.answer(request, created, replyCreated(context, flags), null);
}

async function killSetIdOfCreated(context: Context, creating: Awaitable<Created>, caller: Caller): Promise<Created> {
  const { entry, file } = await creating;
  const { ino } = entry.attributes;
  try {
    return { entry: await context.vfs.setAttributes(ino, { killSetId: true }, caller), file };
  } catch (reason) {
    undoOpen(context.vfs, file);
    context.vfs.forget(ino, 1);
    throw reason;
  }
}

/** TMPFILE has CREATE's body; its name means nothing. */
function createUnnamed(context: Context, request: Request): void {
  const flags = request.u32(0);
  const node = newNode("file", request.u32(4), request.u32(8));
  const created = context.vfs.createUnnamed(request.ino, node, vfsFlags(context, flags), context.caller(request));
  context.answer(request, created, replyCreated(context, flags), null);
}

const undoRead: Undo<ReadResult> = (_vfs, result) => result.release();

/** fuse_read_in: | handle 8 | offset 8 | size 4 | read flags 4 | lock owner 8 | flags 4 | padding 4 |. */
function read(context: Context, request: Request): void {
  const length = request.u32(16);
  if (length > context.maxReadBytes) throw new CfsError("INVALID", `a read of ${length} bytes; ${context.maxReadBytes} were negotiated`);
  const wait = new Wait();
  const result = context.vfs.read(request.u64(0), request.offset64(8), length, wait);
  if (!(result instanceof Promise)) {
    context.replies.data(request.uniqueLow, request.uniqueHigh, result, length);
    return;
  }
  const reply: ReplyWith<ReadResult> = (replies, low, upper, data) => replies.data(low, upper, data, length);
  context.answer(request, result, reply, undoRead, wait);
}

const replyWritten: ReplyWith<number> = (replies, low, upper, count) => replies.count32(low, upper, count);

const fromPageCache: WriteOptions = { killSetId: false, fromPageCache: true };
const fromProgram: WriteOptions = { killSetId: false, fromPageCache: false };

function writeOptions(context: Context, request: Request): WriteOptions {
  const flags = request.u32(20);
  const plain = (flags & writeFromCache) === 0 ? fromProgram : fromPageCache;
  return (flags & writeKillSetId) === 0 ? plain : { ...plain, killSetId: true, caller: context.caller(request) };
}

/** fuse_write_in: | handle 8 | offset 8 | size 4 | write flags 4 | lock owner 8 | flags 4 | padding 4 |, data. */
function write(context: Context, request: Request): void {
  const data = request.view(writeInBytes, request.u32(16));
  context.answer(request, context.vfs.write(request.u64(0), request.offset64(8), data, writeOptions(context, request)), replyWritten, null);
}

/**
 * With writeback cache the kernel writes back at close(2) by itself and tells what its WRITEs were answered; ENOSYS once makes it leave FLUSH out.
 * That is one round trip less for each file, and a process that runs another one (close-on-exec) never waits for us inside the kernel.
 */
function flush(context: Context, request: Request): void {
  if (context.hasWritebackCache) throw new CfsError("NOT_IMPLEMENTED", "close(2) needs nothing of this session");
  context.answer(request, context.vfs.flush(request.u64(0)), replyEmpty, null);
}

/** fuse_release_in: | handle 8 | flags 4 | release flags 4 | lock owner 8 |. */
function release(context: Context, request: Request): void {
  context.answer(request, context.vfs.release(request.u64(0)), replyEmpty, null);
}

/** fuse_fsync_in: | handle 8 | flags 4 | padding 4 |. */
function sync(context: Context, request: Request): void {
  const isDataOnly = (request.u32(8) & fsyncDataOnly) !== 0;
  context.answer(request, context.vfs.sync(request.u64(0), isDataOnly), replyEmpty, undoNothing);
}

/** fuse_fallocate_in: | handle 8 | offset 8 | length 8 | mode 4 | padding 4 |. */
function allocate(context: Context, request: Request): void {
  const done = context.vfs.allocate(request.u64(0), request.u32(24), request.offset64(8), request.offset64(16), context.caller(request));
  context.answer(request, done, replyEmpty, null);
}

const replyCount64: ReplyWith<number> = (replies, low, upper, count) => replies.count64(low, upper, count);

/**
 * fuse_lseek_in: | handle 8 | offset 8 | whence 4 | padding 4 |. The kernel does not write its dirty pages back before it asks, so a file that is
 * being written would seem to have holes where its new bytes are: whoever copies by holes would lose them. Maps make dirty pages in every cache mode.
 */
function seek(context: Context, request: Request): void {
  const { ino } = request;
  const handle = request.u64(0);
  const offsetBytes = request.i64(8);
  const whence = request.u32(16);
  if (offsetBytes < 0) throw new CfsError("NO_DEVICE", `a search from ${offsetBytes}`);
  const find = (): Awaitable<number> => context.vfs.seek(handle, offsetBytes, whence);
  const found = context.vfs.isOpenForWriting(ino) ? context.writeBack(ino, offsetBytes).then(find) : find();
  context.answer(request, found, replyCount64, undoNothing);
}

/** A request may ask for nearly 2^64 bytes ("to the end"); a copy of fewer is a legal answer. */
const copyBytesMax = 0x7fff_f000;

/** fuse_copy_file_range_in: | handle 8 | offset 8 | target inode 8 | target handle 8 | target offset 8 | length 8 | flags 8 |. */
function copyRange(context: Context, request: Request, reply: ReplyWith<number>): void {
  const length = request.u32(44) === 0 ? Math.min(request.u32(40), copyBytesMax) : copyBytesMax;
  const caller = context.caller(request);
  const copied = context.vfs.copyRange(request.u64(0), request.offset64(8), request.u64(24), request.offset64(32), length, caller);
  context.answer(request, copied, reply, null);
}

export const fileOperations: Readonly<Record<number, Operation>> = {
  [opcode.open]: { name: "OPEN", bodyBytesMin: 8, mutates: false, run: open },
  [opcode.create]: { name: "CREATE", bodyBytesMin: 18, mutates: true, run: create },
  [opcode.tmpfile]: { name: "TMPFILE", bodyBytesMin: 16, mutates: true, run: createUnnamed },
  [opcode.read]: { name: "READ", bodyBytesMin: 40, mutates: false, run: read },
  [opcode.write]: { name: "WRITE", bodyBytesMin: writeInBytes, mutates: true, run: write },
  [opcode.flush]: { name: "FLUSH", bodyBytesMin: 24, mutates: false, run: flush },
  [opcode.release]: { name: "RELEASE", bodyBytesMin: 24, mutates: false, run: release },
  [opcode.fsync]: { name: "FSYNC", bodyBytesMin: 16, mutates: false, run: sync },
  [opcode.fallocate]: { name: "FALLOCATE", bodyBytesMin: 32, mutates: true, run: allocate },
  [opcode.lseek]: { name: "LSEEK", bodyBytesMin: 24, mutates: false, run: seek },
  [opcode.copyFileRange]: {
    name: "COPY_FILE_RANGE",
    bodyBytesMin: 56,
    mutates: true,
    run: (context, request) => copyRange(context, request, replyWritten),
  },
  [opcode.copyFileRange64]: {
    name: "COPY_FILE_RANGE_64",
    bodyBytesMin: 56,
    mutates: true,
    run: (context, request) => copyRange(context, request, replyCount64),
  },
};
