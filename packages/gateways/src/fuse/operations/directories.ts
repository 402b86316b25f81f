/** Operations on open directories. */
import type { OpenFile } from "@cfs/vfs";
import { undoNothing, type Context, type Operation, type ReplyWith, type Undo } from "../context.ts";
import { DirectoryPage } from "../direntries.ts";
import { opcode, openReply } from "../protocol.ts";
import { giveBack } from "../replies.ts";
import type { Request } from "../request.ts";
import { replyEmpty } from "./namespace.ts";

const replyOpened: ReplyWith<OpenFile> = (replies, low, upper, file) => {
  replies.file(low, upper, file, file.keepCache ? openReply.keepCache | openReply.cacheDirectory : 0, "directory");
};

const undoOpen: Undo<OpenFile> = (vfs, file) => giveBack(vfs, { kind: "directory", handle: file.handle });

/** fuse_open_in: | flags 4 | unused 4 |. */
function open(context: Context, request: Request): void {
  const file = context.vfs.openDirectory(request.ino, request.u32(0), context.caller(request));
  context.answer(request, file, replyOpened, undoOpen);
}

/** A page may hold this much at most, whatever the kernel's buffer. */
const pageBytesMax = 1 << 20;

/** fuse_read_in: | handle 8 | cookie 8 | size 4 | … |. */
function list(context: Context, request: Request, withAttributes: boolean): void {
  const limitBytes = Math.min(request.u32(16), pageBytesMax);
  const cookie = request.u64(8);
  const handle = request.u64(0);
  const page = new DirectoryPage(context.pages, limitBytes, withAttributes, context.presented);
  const giveUp = (): void => {
    giveBack(context.vfs, { kind: "entries", inodes: page.inodes });
    page.release();
  };
  let done;
  try {
    done = context.vfs.readDirectory(handle, cookie, withAttributes, page.take);
  } catch (reason) {
    giveUp();
    throw reason;
  }
  const reply: ReplyWith<void> = (replies, low, upper) => {
    replies.directory(low, upper, page.bytes, page.inodes, page.release);
  };
  // A failure after entries were taken must give their lookups back as well.
  const guarded = done instanceof Promise ? done.catch((reason: unknown) => rethrowAfter(giveUp, reason)) : done;
  context.answer(request, guarded, reply, giveUp);
}

function rethrowAfter(action: () => void, reason: unknown): never {
  action();
  throw reason;
}

function release(context: Context, request: Request): void {
  context.vfs.releaseDirectory(request.u64(0));
  context.replies.empty(request.uniqueLow, request.uniqueHigh);
}

function sync(context: Context, request: Request): void {
  context.answer(request, context.vfs.syncDirectory(request.u64(0)), replyEmpty, undoNothing);
}

export const directoryOperations: Readonly<Record<number, Operation>> = {
  [opcode.opendir]: { name: "OPENDIR", bodyBytesMin: 8, mutates: false, run: open },
  [opcode.readdir]: { name: "READDIR", bodyBytesMin: 40, mutates: false, run: (context, request) => list(context, request, false) },
  [opcode.readdirplus]: { name: "READDIRPLUS", bodyBytesMin: 40, mutates: false, run: (context, request) => list(context, request, true) },
  [opcode.releasedir]: { name: "RELEASEDIR", bodyBytesMin: 24, mutates: false, run: release },
  [opcode.fsyncdir]: { name: "FSYNCDIR", bodyBytesMin: 16, mutates: false, run: sync },
};
