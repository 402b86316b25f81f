/** Operations on names: lookup, make, link, remove, rename. */
import { CfsError } from "@cfs/core";
import type { Entry, FileKind, NewNode } from "@cfs/vfs";
import type { Context, Operation, ReplyWith, Undo } from "../context.ts";
import { opcode, typeBitsByKind } from "../protocol.ts";
import type { Request } from "../request.ts";

export const replyEntry: ReplyWith<Entry> = (replies, low, upper, entry) => replies.entry(low, upper, entry);
export const replyEmpty: ReplyWith<void> = (replies, low, upper) => replies.empty(low, upper);
const forgetEntry: Undo<Entry> = (vfs, entry) => vfs.forget(entry.attributes.ino, 1);

const kindByType: ReadonlyMap<number, FileKind> = new Map(
  (Object.entries(typeBitsByKind) as [FileKind, number][]).map(([kind, bits]) => [bits, kind]),
);

function kindOf(mode: number): FileKind {
  const kind = (mode & 0o170000) === 0 ? "file" : kindByType.get(mode & 0o170000);
  if (kind === undefined) throw new CfsError("INVALID", `no kind of file has the mode ${mode.toString(8)}`);
  return kind;
}

export function newNode(kind: FileKind, mode: number, umask: number, rdev = 0, target: Uint8Array | null = null): NewNode {
  return { kind, mode: mode & 0o7777, umask: umask & 0o777, rdev, target };
}

/** Names "." and ".." come only from an NFS export and mean the inode itself and its parent. */
function lookup(context: Context, request: Request): void {
  const entry = context.vfs.lookup(request.ino, request.name(0), context.caller(request));
  context.answer(request, entry, replyEntry, forgetEntry);
}

function forget(context: Context, request: Request): void {
  context.vfs.forget(request.ino, request.u64(0));
}

/** fuse_batch_forget_in: | count 4 | padding 4 |, then pairs of node number 8 and lookups 8. */
function batchForget(context: Context, request: Request): void {
  const count = request.u32(0);
  if (count * 16 > request.bodyBytes - 8)
    throw new CfsError("CORRUPT", `FUSE BATCH_FORGET of ${count} inodes in ${request.bodyBytes} bytes`);
  for (let at = 8; at < 8 + count * 16; at += 16) context.vfs.forget(request.inode(at), request.u64(at + 8));
}

/** fuse_mknod_in: | mode 4 | rdev 4 | umask 4 | padding 4 |, name. */
function makeNode(context: Context, request: Request): void {
  const mode = request.u32(0);
  const node = newNode(kindOf(mode), mode, request.u32(8), request.u32(4));
  const entry = context.vfs.makeNode(request.ino, request.name(16), node, context.caller(request));
  context.answer(request, entry, replyEntry, null);
}

/** fuse_mkdir_in: | mode 4 | umask 4 |, name. */
function makeDirectory(context: Context, request: Request): void {
  const node = newNode("directory", request.u32(0), request.u32(4));
  const entry = context.vfs.makeNode(request.ino, request.name(8), node, context.caller(request));
  context.answer(request, entry, replyEntry, null);
}

/** Name, then target. */
function makeSymlink(context: Context, request: Request): void {
  const name = request.name(0);
  const target = request.text(request.next);
  if (target.length === 0) throw new CfsError("NOT_FOUND", "an empty symlink target");
  const node = newNode("symlink", 0o777, 0, 0, Buffer.from(target, "latin1"));
  context.answer(request, context.vfs.makeNode(request.ino, name, node, context.caller(request)), replyEntry, null);
}

/** fuse_link_in: | old node number 8 |, name; the header names the new parent. */
function link(context: Context, request: Request): void {
  const entry = context.vfs.link(request.inode(0), request.ino, request.name(8), context.caller(request));
  context.answer(request, entry, replyEntry, null);
}

function unlink(context: Context, request: Request): void {
  context.answer(request, context.vfs.unlink(request.ino, request.name(0), context.caller(request)), replyEmpty, null);
}

function removeDirectory(context: Context, request: Request): void {
  context.answer(request, context.vfs.removeDirectory(request.ino, request.name(0), context.caller(request)), replyEmpty, null);
}

/** fuse_rename_in: | new parent 8 |, old name, new name. fuse_rename2_in has flags 4 and padding 4 before the names. */
function renameAt(context: Context, request: Request, namesAt: number, flags: number): void {
  const name = request.name(namesAt);
  const newName = request.name(request.next);
  const done = context.vfs.rename(request.ino, name, request.inode(0), newName, flags, context.caller(request));
  context.answer(request, done, replyEmpty, null);
}

export const namespaceOperations: Readonly<Record<number, Operation>> = {
  [opcode.lookup]: { name: "LOOKUP", bodyBytesMin: 2, mutates: false, run: lookup },
  [opcode.forget]: { name: "FORGET", bodyBytesMin: 8, mutates: false, run: forget },
  [opcode.batchForget]: { name: "BATCH_FORGET", bodyBytesMin: 8, mutates: false, run: batchForget },
  [opcode.mknod]: { name: "MKNOD", bodyBytesMin: 18, mutates: true, run: makeNode },
  [opcode.mkdir]: { name: "MKDIR", bodyBytesMin: 10, mutates: true, run: makeDirectory },
  [opcode.symlink]: { name: "SYMLINK", bodyBytesMin: 4, mutates: true, run: makeSymlink },
  [opcode.link]: { name: "LINK", bodyBytesMin: 10, mutates: true, run: link },
  [opcode.unlink]: { name: "UNLINK", bodyBytesMin: 2, mutates: true, run: unlink },
  [opcode.rmdir]: { name: "RMDIR", bodyBytesMin: 2, mutates: true, run: removeDirectory },
  [opcode.rename]: { name: "RENAME", bodyBytesMin: 12, mutates: true, run: (context, request) => renameAt(context, request, 8, 0) },
  [opcode.rename2]: {
    name: "RENAME2",
    bodyBytesMin: 20,
    mutates: true,
    run: (context, request) => renameAt(context, request, 16, request.u32(8)),
  },
};
