/**
 * Answers the requests of a session: reads of metadata and data. Each looks at the state in the turn in which it is called.
 */
import { CfsError, unreachable } from "@cfs/core";
import type { ClientId, Clock } from "@cfs/core";
import {
  encodeDirectoryReply,
  encodeDirentReply,
  encodeInodeReply,
  encodeNumbersReply,
  encodeXattrReply,
  listDirectory,
  nameCookie,
  promisedBytes,
  seek,
} from "@cfs/metadata";
import type { KvState, ListedInode, Request, ShardDriver } from "@cfs/metadata";
import type { Capacity } from "./capacity.ts";
import type { OperationFigures } from "./operation-figures.ts";
import { commitOwn } from "./own-command.ts";
import type { ReadPath } from "./read-path.ts";

/** Inode counts given to a client at once. */
const grantCount = 8_192;
/** Entries of one directory page; a page of the longest names and inline data stays below 1 MiB. */
const pageEntries = 1024;
const pageEntriesWithInline = 192;
/** The longest read that one request may ask for. */
const readBytesMax = 4 << 20;

export interface ReplyBody {
  readonly errno: number;
  readonly body: Uint8Array;
}

export type SendReply = (reply: ReplyBody, parts: readonly Uint8Array[], release: (() => void) | null) => void;

export interface RequestHandlerParts {
  readonly state: KvState;
  readonly driver: ShardDriver;
  readonly reads: ReadPath;
  readonly capacity: Capacity;
  readonly clock: Clock;
  readonly figures: OperationFigures;
}

export class RequestHandler {
  readonly #parts: RequestHandlerParts;

  constructor(parts: RequestHandlerParts) {
    this.#parts = parts;
  }

  /** Sends exactly one reply, now or later. */
  answer(request: Request, clientId: ClientId, send: SendReply): void {
    this.#parts.figures.countOperation(request.kind);
    try {
      const body = this.#answer(request, clientId, send);
      if (body) send({ errno: 0, body }, [], null);
    } catch (reason) {
      sendError(send, reason);
    }
  }

  /** The body when it is known at once; null when the reply follows. */
  #answer(request: Request, clientId: ClientId, send: SendReply): Uint8Array | null {
    const { state, capacity } = this.#parts;
    switch (request.kind) {
      case "inode":
        return encodeInodeReply(state.inode(request.ino), request.withInline);
      case "dirent":
        return encodeDirentReply(this.#dirent(request), request.withInline);
      case "directory":
        later(this.#directory(request), send);
        return null;
      case "xattr":
        return encodeXattrReply(state.inode(request.ino) ? state.xattr(request.ino, request.name) : null);
      case "read":
        this.#read(request, send);
        return null;
      case "seek":
        return encodeNumbersReply([this.#seek(request)]);
      case "promised":
        return encodeNumbersReply([promisedBytes(state.content, request.ino, request.offsetBytes, request.lengthBytes)]);
      case "statistics":
        if (!capacity.isVague) return encodeNumbersReply(statisticsNumbers(state, capacity));
        later(
          capacity.refresh().then(() => encodeNumbersReply(statisticsNumbers(state, capacity))),
          send,
        );
        return null;
      case "grant":
        later(this.#grant(clientId), send);
        return null;
      default:
        return unreachable(request, "request");
    }
  }

  #dirent({ parent, name }: Request & { kind: "dirent" }): ListedInode | null {
    const { state } = this.#parts;
    const dirent = state.dirent(parent, name);
    const inode = dirent && state.inode(dirent.ino);
    return inode ? { dirent: { ...dirent, name, cookie: nameCookie(name) }, inode } : null;
  }

  async #directory({ parent, cookie, limit, withInline }: Request & { kind: "directory" }): Promise<Uint8Array> {
    const { state } = this.#parts;
    // A reply's head is bounded: a page with inline data holds fewer entries.
    const count = Math.min(limit, withInline ? pageEntriesWithInline : pageEntries);
    const page = await listDirectory(state, parent, cookie, count);
    const entries: ListedInode[] = [];
    for (const dirent of page) {
      // Removed since the page was read: the client's own command did that, so it knows.
      const inode = state.inode(dirent.ino);
      if (inode) entries.push({ dirent, inode });
    }
    return encodeDirectoryReply(entries, page.length < count, withInline);
  }

  #read({ ino, offsetBytes, lengthBytes }: Request & { kind: "read" }, send: SendReply): void {
    if (lengthBytes > readBytesMax)
      throw new CfsError("INVALID", `a read of ${lengthBytes} bytes; at most ${readBytesMax} are served at once`);
    const { clock, figures, reads } = this.#parts;
    const beganMs = clock.monotonicMs();
    reads.read(ino, offsetBytes, lengthBytes).then(
      (range) => {
        figures.read.observeMs(clock.monotonicMs() - beganMs);
        figures.bytesRead += range.lengthBytes;
        send({ errno: 0, body: encodeNumbersReply([range.lengthBytes]) }, range.parts, () => range.release());
      },
      (reason: unknown) => sendError(send, reason),
    );
  }

  #seek({ ino, offsetBytes, whence }: Request & { kind: "seek" }): number {
    const { state } = this.#parts;
    const inode = state.inode(ino);
    if (!inode) throw new CfsError("STALE_HANDLE", `inode ${ino} is not there any more`);
    const found = seek(state.content, inode, offsetBytes, whence);
    if (found === null) throw new CfsError("NO_DEVICE", `inode ${ino}: nothing is found from offset ${offsetBytes} on`);
    return found;
  }

  /** The counts belong to the client only once the log says so durably: else another could get them after a crash. */
  async #grant(clientId: ClientId): Promise<Uint8Array> {
    const { driver, state } = this.#parts;
    const begin = state.content.superblock()?.nextInodeCount ?? 0;
    await commitOwn(driver, { type: "grantInodes", clientId, count: grantCount }, "inode numbers were not granted");
    return encodeNumbersReply([begin, begin + grantCount]);
  }
}

/** In the order of FileSystemStatistics, in blocks of 4 KiB. */
function statisticsNumbers(state: KvState, capacity: Capacity): number[] {
  const blockBytes = 4096;
  const usage = state.content.usage();
  const { availableBytes } = capacity;
  const freeBytes = Math.max(0, capacity.report.freeBytes - usage.reservedBytes);
  const usedBytes = usage.segmentLiveBytes + usage.journalLiveBytes + usage.reservedBytes;
  const inodesFree = 2 ** 37 - usage.inodes;
  return [
    blockBytes,
    Math.floor((usedBytes + freeBytes) / blockBytes),
    Math.floor(freeBytes / blockBytes),
    Math.floor(availableBytes / blockBytes),
    usage.inodes + Math.min(inodesFree, Math.floor(freeBytes / 1024)),
    Math.min(inodesFree, Math.floor(freeBytes / 1024)),
    255,
  ];
}

function later(body: Promise<Uint8Array>, send: SendReply): void {
  body.then(
    (bytes) => send({ errno: 0, body: bytes }, [], null),
    (reason: unknown) => sendError(send, reason),
  );
}

function sendError(send: SendReply, reason: unknown): void {
  const error = CfsError.from(reason);
  send({ errno: error.errno, body: Buffer.from(error.message, "utf8") }, [], null);
}
