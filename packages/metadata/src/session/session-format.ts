/**
 * The messages of a client session: what stands in the head of each frame of the hot stream. Version 1.
 *
 * Client to server:  | type u8 | … |   hello, command, request, goodbye
 * Server to client:  | type u8 | … |   welcome, progress, rejected, reply
 * A command's payload (the bytes of a write) and the bytes of a read travel as the payload of the same frame.
 * Invariant: a decoder takes only what it fully understands; anything else is CORRUPT and ends the connection.
 */
import { ByteReader, ByteWriter, CfsError, unreachable } from "@cfs/core";
import type { ClientId, InodeNumber, Name } from "@cfs/core";
import { decodeCommand, encodeCommand } from "../namespace/command-format.ts";
import type { Command } from "../namespace/commands.ts";
import { decodeInode, readInode, readKind, writeInode, writeKind } from "../namespace/record-format.ts";
import type { Inode, NamedDirent } from "../namespace/records.ts";

export const sessionVersion = 3;

/** The most entries that one directory page may ask for. */
export const pageEntriesMax = 4096;

export type Request =
  | { readonly kind: "inode"; readonly ino: InodeNumber; readonly withInline: boolean }
  | { readonly kind: "dirent"; readonly parent: InodeNumber; readonly name: Name; readonly withInline: boolean }
  | {
      readonly kind: "directory";
      readonly parent: InodeNumber;
      readonly cookie: number;
      readonly limit: number;
      readonly withInline: boolean;
    }
  | { readonly kind: "xattr"; readonly ino: InodeNumber; readonly name: string }
  | { readonly kind: "read"; readonly ino: InodeNumber; readonly offsetBytes: number; readonly lengthBytes: number }
  | { readonly kind: "seek"; readonly ino: InodeNumber; readonly offsetBytes: number; readonly whence: number }
  | { readonly kind: "statistics" }
  | { readonly kind: "grant" }
  /** How many bytes of a range fallocate has set aside. */
  | { readonly kind: "promised"; readonly ino: InodeNumber; readonly offsetBytes: number; readonly lengthBytes: number };

export type ClientMessage =
  /** `mountpoint` and `host` are for people (status); `durableSeq` is the last that this client saw acknowledged. */
  | {
      readonly type: "hello";
      readonly version: number;
      readonly clientId: ClientId;
      readonly durableSeq: number;
      /** The server welcomed this client id before: it must know the session still. */
      readonly isReturning: boolean;
      readonly host: string;
      readonly mountpoint: string;
    }
  | { readonly type: "command"; readonly seq: number; readonly command: Command }
  | { readonly type: "request"; readonly id: number; readonly request: Request }
  | { readonly type: "goodbye" };

export type ServerMessage =
  /** `seq`: the last command of this client that the server has; 0 for a new session. */
  | {
      readonly type: "welcome";
      readonly version: number;
      readonly clusterId: string;
      readonly seq: number;
      readonly availableBytes: number;
    }
  | { readonly type: "progress"; readonly durableSeq: number; readonly availableBytes: number }
  | { readonly type: "rejected"; readonly seq: number; readonly errno: number; readonly ino: number; readonly message: string }
  | { readonly type: "reply"; readonly id: number; readonly errno: number; readonly body: Uint8Array };

/** One for the process: encoding is synchronous, and an ArrayBuffer for each message costs more than the message. */
const shared = new ByteWriter(8192);

const requestKinds = ["inode", "dirent", "directory", "xattr", "read", "seek", "statistics", "grant", "promised"] as const;

export function encodeClientMessage(message: ClientMessage): Uint8Array {
  const writer = shared.begin();
  switch (message.type) {
    case "hello":
      return writer
        .u8(1)
        .u16(message.version)
        .latin1(message.clientId)
        .varint(message.durableSeq)
        .u8(message.isReturning ? 1 : 0)
        .utf8(message.host)
        .utf8(message.mountpoint)
        .take();
    case "command":
      return writer.u8(2).varint(message.seq).raw(encodeCommand(message.command)).take();
    case "request":
      encodeRequest(writer.u8(3).varint(message.id), message.request);
      return writer.take();
    case "goodbye":
      return writer.u8(4).take();
    default:
      return unreachable(message, "client message");
  }
}

function encodeRequest(writer: ByteWriter, request: Request): void {
  writer.u8(requestKinds.indexOf(request.kind));
  switch (request.kind) {
    case "inode":
      writer.varint(request.ino).u8(request.withInline ? 1 : 0);
      break;
    case "dirent":
      writer
        .varint(request.parent)
        .latin1(request.name)
        .u8(request.withInline ? 1 : 0);
      break;
    case "directory":
      writer
        .varint(request.parent)
        .varint(request.cookie)
        .varint(request.limit)
        .u8(request.withInline ? 1 : 0);
      break;
    case "xattr":
      writer.varint(request.ino).utf8(request.name);
      break;
    case "read":
    case "promised":
      writer.varint(request.ino).varint(request.offsetBytes).varint(request.lengthBytes);
      break;
    case "seek":
      writer.varint(request.ino).varint(request.offsetBytes).u8(request.whence);
      break;
    case "statistics":
    case "grant":
      break;
    default:
      unreachable(request, "request");
  }
}

export function decodeClientMessage(head: Uint8Array): ClientMessage {
  const reader = new ByteReader(head, "client message");
  const type = reader.u8();
  switch (type) {
    case 1: {
      const version = reader.u16();
      const clientId = reader.latin1() as ClientId;
      const message = {
        type: "hello" as const,
        version,
        clientId,
        durableSeq: reader.varint(),
        isReturning: reader.u8() === 1,
        host: reader.utf8(),
        mountpoint: reader.utf8(),
      };
      reader.end();
      if (!/^[0-9a-f]{32}$/.test(clientId)) throw new CfsError("CORRUPT", "client message: a client id is 32 hex digits");
      return message;
    }
    case 2:
      return { type: "command", seq: reader.varint(), command: decodeCommand(reader.raw(reader.remaining)) };
    case 3: {
      const id = reader.varint();
      const request = decodeRequest(reader);
      reader.end();
      return { type: "request", id, request };
    }
    case 4:
      reader.end();
      return { type: "goodbye" };
    default:
      throw new CfsError("CORRUPT", `client message of unknown type ${type}`);
  }
}

function decodeRequest(reader: ByteReader): Request {
  const kind = requestKinds[reader.u8()];
  switch (kind) {
    case "inode":
      return { kind, ino: reader.varint() as InodeNumber, withInline: reader.u8() === 1 };
    case "dirent":
      return { kind, parent: reader.varint() as InodeNumber, name: reader.latin1() as Name, withInline: reader.u8() === 1 };
    case "directory": {
      const request = {
        kind,
        parent: reader.varint() as InodeNumber,
        cookie: reader.varint(),
        limit: reader.varint(),
        withInline: reader.u8() === 1,
      };
      if (request.limit < 1 || request.limit > pageEntriesMax)
        throw new CfsError("CORRUPT", `a directory page of ${request.limit} entries was asked for`);
      return request;
    }
    case "xattr":
      return { kind, ino: reader.varint() as InodeNumber, name: reader.utf8() };
    case "read":
    case "promised":
      return { kind, ino: reader.varint() as InodeNumber, offsetBytes: reader.varint(), lengthBytes: reader.varint() };
    case "seek":
      return { kind, ino: reader.varint() as InodeNumber, offsetBytes: reader.varint(), whence: reader.u8() };
    case "statistics":
    case "grant":
      return { kind };
    case undefined:
      throw new CfsError("CORRUPT", "client message with an unknown request");
    default:
      return unreachable(kind, "request kind");
  }
}

export function encodeServerMessage(message: ServerMessage): Uint8Array {
  const writer = shared.begin();
  switch (message.type) {
    case "welcome":
      return writer.u8(1).u16(message.version).latin1(message.clusterId).varint(message.seq).varint(message.availableBytes).take();
    case "progress":
      return writer.u8(2).varint(message.durableSeq).varint(message.availableBytes).take();
    case "rejected":
      return writer.u8(3).varint(message.seq).u16(message.errno).varint(message.ino).utf8(message.message).take();
    case "reply":
      return writer.u8(4).varint(message.id).u16(message.errno).raw(message.body).take();
    default:
      return unreachable(message, "server message");
  }
}

export function decodeServerMessage(head: Uint8Array): ServerMessage {
  const reader = new ByteReader(head, "server message");
  const type = reader.u8();
  switch (type) {
    case 1:
      return { type: "welcome", version: reader.u16(), clusterId: reader.latin1(), seq: reader.varint(), availableBytes: reader.varint() };
    case 2:
      return { type: "progress", durableSeq: reader.varint(), availableBytes: reader.varint() };
    case 3:
      return { type: "rejected", seq: reader.varint(), errno: reader.u16(), ino: reader.varint(), message: reader.utf8() };
    case 4:
      return { type: "reply", id: reader.varint(), errno: reader.u16(), body: reader.raw(reader.remaining) };
    default:
      throw new CfsError("CORRUPT", `server message of unknown type ${type}`);
  }
}

/* Bodies of replies. A failed reply's body is its message as UTF-8. */

export function encodeInodeReply(inode: Inode | null, withInline: boolean): Uint8Array {
  if (!inode) return new Uint8Array(0);
  const writer = shared.begin();
  writeInode(writer, inode, withInline);
  return writer.take();
}

export function decodeInodeReply(body: Uint8Array): Inode | null {
  return body.length === 0 ? null : decodeInode(body);
}

export interface ListedInode {
  readonly dirent: NamedDirent;
  readonly inode: Inode;
}

export function encodeDirentReply(found: ListedInode | null, withInline: boolean): Uint8Array {
  if (!found) return new Uint8Array(0);
  const writer = shared.begin();
  encodeListed(writer, found, withInline);
  return writer.take();
}

export function decodeDirentReply(body: Uint8Array): ListedInode | null {
  if (body.length === 0) return null;
  const reader = new ByteReader(body, "dirent reply");
  const found = decodeListed(reader);
  reader.end();
  return found;
}

export function encodeDirectoryReply(entries: readonly ListedInode[], isEnd: boolean, withInline: boolean): Uint8Array {
  const writer = shared.begin();
  writer.u8(isEnd ? 1 : 0).varint(entries.length);
  for (const entry of entries) encodeListed(writer, entry, withInline);
  return writer.take();
}

export function decodeDirectoryReply(body: Uint8Array): { entries: ListedInode[]; isEnd: boolean } {
  const reader = new ByteReader(body, "directory reply");
  const isEnd = reader.u8() === 1;
  const count = reader.varint();
  const entries: ListedInode[] = [];
  for (let index = 0; index < count; index++) entries.push(decodeListed(reader));
  reader.end();
  return { entries, isEnd };
}

function encodeListed(writer: ByteWriter, { dirent, inode }: ListedInode, withInline: boolean): void {
  writer.latin1(dirent.name).varint(dirent.cookie).varint(dirent.ino);
  writeKind(writer, dirent.kind);
  writeInode(writer, inode, withInline);
}

function decodeListed(reader: ByteReader): ListedInode {
  const name = reader.latin1() as Name;
  const cookie = reader.varint();
  const ino = reader.varint() as InodeNumber;
  const kind = readKind(reader);
  return { dirent: { name, cookie, ino, kind }, inode: readInode(reader) };
}

/** A value that may be absent: empty body is absent, else one byte 1 and the value. */
export function encodeXattrReply(value: Uint8Array | null): Uint8Array {
  return value ? shared.begin().u8(1).raw(value).take() : new Uint8Array(0);
}

export function decodeXattrReply(body: Uint8Array): Uint8Array | null {
  return body.length === 0 ? null : Uint8Array.from(body.subarray(1));
}

/** Numbers in a fixed order: seek [offset], promised [bytes], grant [begin, end], statistics in the order of FileSystemStatistics. */
export function encodeNumbersReply(numbers: readonly number[]): Uint8Array {
  const writer = shared.begin().varint(numbers.length);
  for (const number of numbers) writer.varint(number);
  return writer.take();
}

export function decodeNumbersReply(body: Uint8Array, count: number): number[] {
  const reader = new ByteReader(body, "numbers reply");
  if (reader.varint() !== count) throw new CfsError("CORRUPT", `numbers reply without ${count} numbers`);
  const numbers = Array.from({ length: count }, () => reader.varint());
  reader.end();
  return numbers;
}
