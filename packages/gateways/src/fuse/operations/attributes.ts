/** Operations on an inode's attributes, symlink target, extended attributes, and on the file system as a whole. */
import { CfsError } from "@cfs/core";
import type { AttributeChange, Entry, FileSystemStatistics, Time } from "@cfs/vfs";
import { undoNothing, type Context, type Operation, type ReplyWith } from "../context.ts";
import { encodeStatx } from "../encode.ts";
import { opcode, setattrValid, setxattrKillSetGid, statfsOutBytes, statxOutBytes } from "../protocol.ts";
import type { Request } from "../request.ts";
import { replyEmpty } from "./namespace.ts";

const replyAttributes: ReplyWith<Entry> = (replies, low, upper, entry) => replies.attributes(low, upper, entry);

const replyBytes: ReplyWith<Uint8Array> = (replies, low, upper, bytes) => replies.bytes(low, upper, bytes);

function getAttributes(context: Context, request: Request): void {
  context.answer(request, context.vfs.getAttributes(request.ino), replyAttributes, undoNothing);
}

function statx(context: Context, request: Request): void {
  const reply: ReplyWith<Entry> = (replies, low, upper, entry) => {
    encodeStatx(replies.words, replies.open(low, upper, statxOutBytes), entry, context.presented);
  };
  context.answer(request, context.vfs.getAttributes(request.ino), reply, undoNothing);
}

/**
 * fuse_setattr_in: | valid 4 | padding 4 | handle 8 | size 8 | lock owner 8 | atime 8 | mtime 8 | ctime 8 | atime ns 4 |
 * mtime ns 4 | ctime ns 4 | mode 4 | unused 4 | uid 4 | gid 4 | unused 4 |
 */
export function decodeSetattr(request: Request): AttributeChange {
  const valid = request.u32(0);
  const change: { -readonly [Key in keyof AttributeChange]: AttributeChange[Key] } = {};
  if (valid & setattrValid.mode) change.mode = request.u32(68) & 0o7777;
  if (valid & setattrValid.uid) change.uid = request.u32(76);
  if (valid & setattrValid.gid) change.gid = request.u32(80);
  if (valid & setattrValid.size) change.sizeBytes = request.offset64(16);
  if (valid & setattrValid.atimeNow) change.atime = "now";
  else if (valid & setattrValid.atime) change.atime = time(request, 32, 56);
  if (valid & setattrValid.mtimeNow) change.mtime = "now";
  else if (valid & setattrValid.mtime) change.mtime = time(request, 40, 60);
  if (valid & setattrValid.ctime) change.ctime = time(request, 48, 64);
  if (valid & setattrValid.killSetId) change.killSetId = true;
  return change;
}

function time(request: Request, secondsAt: number, nanosecondsAt: number): Time {
  const nsec = request.u32(nanosecondsAt);
  if (nsec > 999_999_999) throw new CfsError("INVALID", `${nsec} nanoseconds in a time`);
  return { sec: request.i64(secondsAt), nsec };
}

function setAttributes(context: Context, request: Request): void {
  let change = decodeSetattr(request);
  if (change.uid !== undefined) change = { ...change, uid: context.storedUid(change.uid) };
  if (change.gid !== undefined) change = { ...change, gid: context.storedGid(change.gid) };
  context.answer(request, context.vfs.setAttributes(request.ino, change, context.caller(request)), replyAttributes, null);
}

function readSymlink(context: Context, request: Request): void {
  context.answer(request, context.vfs.readSymlink(request.ino), replyBytes, undoNothing);
}

/** fuse_access_in: | mask 4 | padding 4 |. With default_permissions the kernel decides and need not ask. */
function access(context: Context, request: Request): void {
  if (context.hasDefaultPermissions) throw new CfsError("NOT_IMPLEMENTED", "the kernel checks access itself");
  context.answer(request, context.vfs.access(request.ino, request.u32(0), context.caller(request)), replyEmpty, undoNothing);
}

/** A size of 0 asks how many bytes there are. */
function replySized(sizeBytes: number): ReplyWith<Uint8Array> {
  return (replies, low, upper, bytes) => {
    if (sizeBytes === 0) replies.count32(low, upper, bytes.length);
    else if (bytes.length > sizeBytes) throw new CfsError("RANGE", `an attribute of ${bytes.length} bytes for a buffer of ${sizeBytes}`);
    else replies.bytes(low, upper, bytes);
  };
}

/** fuse_getxattr_in: | size 4 | padding 4 |, name. Attribute names travel as byte strings, like file names. */
function getXattr(context: Context, request: Request): void {
  context.answer(request, context.vfs.getXattr(request.ino, request.text(8)), replySized(request.u32(0)), undoNothing);
}

function listXattr(context: Context, request: Request): void {
  const sized = replySized(request.u32(0));
  const reply: ReplyWith<readonly string[]> = (replies, low, upper, names) => {
    sized(replies, low, upper, Buffer.from(names.map((name) => `${name}\0`).join(""), "latin1"));
  };
  context.answer(request, context.vfs.listXattr(request.ino, context.caller(request)), reply, undoNothing);
}

/** fuse_setxattr_in: | size 4 | flags 4 |, and with SETXATTR_EXT | setxattr flags 4 | padding 4 |, name, value. */
function setXattr(context: Context, request: Request): void {
  const name = request.text(context.hasExtendedSetxattr ? 16 : 8);
  const value = request.copy(request.next, request.u32(0));
  const killSetGid = context.hasExtendedSetxattr && (request.u32(8) & setxattrKillSetGid) !== 0;
  const done = context.vfs.setXattr(request.ino, name, value, request.u32(4), killSetGid, context.caller(request));
  context.answer(request, done, replyEmpty, null);
}

function removeXattr(context: Context, request: Request): void {
  context.answer(request, context.vfs.removeXattr(request.ino, request.text(0), context.caller(request)), replyEmpty, null);
}

/** fuse_kstatfs: blocks, free, available, files, files free (8 each), block size, name length, fragment size (4 each), spare. */
const replyStatistics: ReplyWith<FileSystemStatistics> = (replies, low, upper, statistics) => {
  const at = replies.open(low, upper, statfsOutBytes);
  replies.zero(at, statfsOutBytes >>> 2);
  replies.u64(at, statistics.blocks);
  replies.u64(at + 2, statistics.blocksFree);
  replies.u64(at + 4, statistics.blocksAvailable);
  replies.u64(at + 6, statistics.files);
  replies.u64(at + 8, statistics.filesFree);
  replies.words[at + 10] = statistics.blockSizeBytes;
  replies.words[at + 11] = statistics.nameBytesMax;
  replies.words[at + 12] = statistics.blockSizeBytes;
};

function statistics(context: Context, request: Request): void {
  context.answer(request, context.vfs.statistics(), replyStatistics, undoNothing);
}

function syncAll(context: Context, request: Request): void {
  context.answer(request, context.vfs.syncAll(), replyEmpty, undoNothing);
}

export const attributeOperations: Readonly<Record<number, Operation>> = {
  [opcode.getattr]: { name: "GETATTR", bodyBytesMin: 16, mutates: false, run: getAttributes },
  [opcode.statx]: { name: "STATX", bodyBytesMin: 24, mutates: false, run: statx },
  [opcode.setattr]: { name: "SETATTR", bodyBytesMin: 88, mutates: true, run: setAttributes },
  [opcode.readlink]: { name: "READLINK", bodyBytesMin: 0, mutates: false, run: readSymlink },
  [opcode.access]: { name: "ACCESS", bodyBytesMin: 8, mutates: false, run: access },
  [opcode.getxattr]: { name: "GETXATTR", bodyBytesMin: 10, mutates: false, run: getXattr },
  [opcode.listxattr]: { name: "LISTXATTR", bodyBytesMin: 8, mutates: false, run: listXattr },
  [opcode.setxattr]: { name: "SETXATTR", bodyBytesMin: 10, mutates: true, run: setXattr },
  [opcode.removexattr]: { name: "REMOVEXATTR", bodyBytesMin: 2, mutates: true, run: removeXattr },
  [opcode.statfs]: { name: "STATFS", bodyBytesMin: 0, mutates: false, run: statistics },
  [opcode.syncfs]: { name: "SYNCFS", bodyBytesMin: 0, mutates: false, run: syncAll },
};
