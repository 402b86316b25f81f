/**
 * Messages as bytes, for whatever transport the host has.
 *
 * Format, version 1 (numbers are varints unless a width is given):
 *
 *   | version 1 | type 1 | from | to | term | body |
 *
 *   vote 1            | flags 1: preVote, force | lastIndex | lastTerm |
 *   voteReply 2       | flags 1: preVote, granted |
 *   append 3          | prevIndex | prevTerm | commit | count | entries: | term - term of the one before | kind 1 | length | data | |
 *   appendReply 4     | flags 1: rejected | index | hintIndex | hintTerm |
 *   heartbeat 5       | flags 1: quiesce | commit | round |
 *   heartbeatReply 6  | round |
 *   snapshot 7        | flags 1: isLast | stream | offset | index | term | configuration | length | data |
 *   snapshotReply 8   | stream | nextOffset |
 *   timeoutNow 9      | |
 *   readIndex 10      | context |
 *   readIndexReply 11 | context | index |
 *
 * Invariants: a malformed input is CORRUPT, never another exception; what is decoded needs memory in proportion to the input. Indexes of entries are
 * not sent, so they are consecutive by construction; terms never fall and never pass the message's. The bytes of entries and chunks are views of the
 * input: it must not change afterwards.
 */
import { assert, ByteReader, ByteWriter, CfsError, unreachable } from "@cfs/core";
import { readConfiguration, writeConfiguration } from "./configuration-format.ts";
import { type Entry, type EntryKind, entryKinds } from "./entry.ts";
import type { AppendMessage, Message, SnapshotMessage } from "./message.ts";

export const messageFormatVersion = 1;
const what = "raft message";
/** An entry has a term, a kind and a length at least. */
const entryBytesMin = 3;

const codes = {
  vote: 1,
  voteReply: 2,
  append: 3,
  appendReply: 4,
  heartbeat: 5,
  heartbeatReply: 6,
  snapshot: 7,
  snapshotReply: 8,
  timeoutNow: 9,
  readIndex: 10,
  readIndexReply: 11,
} as const satisfies Readonly<Record<Message["type"], number>>;

const typeByCode: ReadonlyMap<number, Message["type"]> = new Map(
  (Object.entries(codes) as [Message["type"], number][]).map(([type, code]) => [code, type]),
);

function flags(first: boolean, second: boolean): number {
  return (first ? 1 : 0) | (second ? 2 : 0);
}

/** Appends one message to what the writer holds; for hosts that send many at once. */
export function writeMessage(writer: ByteWriter, message: Message): void {
  writer.u8(messageFormatVersion).u8(codes[message.type]).varint(message.from).varint(message.to).varint(message.term);
  switch (message.type) {
    case "timeoutNow":
      return;
    case "vote":
      writer.u8(flags(message.preVote, message.force)).varint(message.lastIndex).varint(message.lastTerm);
      return;
    case "voteReply":
      writer.u8(flags(message.preVote, message.granted));
      return;
    case "append":
      return writeAppend(writer, message);
    case "appendReply":
      writer.u8(flags(message.rejected, false)).varint(message.index).varint(message.hintIndex).varint(message.hintTerm);
      return;
    case "heartbeat":
      writer.u8(flags(message.quiesce, false)).varint(message.commit).varint(message.round);
      return;
    case "heartbeatReply":
      writer.varint(message.round);
      return;
    case "snapshot":
      return writeSnapshot(writer, message);
    case "snapshotReply":
      writer.varint(message.stream).varint(message.nextOffset);
      return;
    case "readIndex":
      writer.varint(message.context);
      return;
    case "readIndexReply":
      writer.varint(message.context).varint(message.index);
      return;
    default:
      return unreachable(message, "message of a known type");
  }
}

function writeAppend(writer: ByteWriter, { prevIndex, prevTerm, commit, entries }: AppendMessage): void {
  writer.varint(prevIndex).varint(prevTerm).varint(commit).varint(entries.length);
  let termBefore = prevTerm;
  let index = prevIndex;
  for (const { term, index: own, kind, data } of entries) {
    index++;
    assert(own === index, "entries are consecutive behind the one before");
    assert(term >= termBefore, "terms never fall along the log");
    writer
      .varint(term - termBefore)
      .u8(kind)
      .bytes(data);
    termBefore = term;
  }
}

function writeSnapshot(writer: ByteWriter, { meta, stream, offset, data, isLast }: SnapshotMessage): void {
  writer.u8(flags(isLast, false)).varint(stream).varint(offset).varint(meta.index).varint(meta.term);
  writeConfiguration(writer, meta.configuration);
  writer.bytes(data);
}

export function encodeMessage(message: Message): Uint8Array {
  const writer = new ByteWriter(64);
  writeMessage(writer, message);
  return writer.take();
}

export function decodeMessage(bytes: Uint8Array): Message {
  const reader = new ByteReader(bytes, what);
  const message = readMessage(reader);
  reader.end();
  return message;
}

function corrupt(problem: string): CfsError {
  return new CfsError("CORRUPT", `${what} ${problem}`);
}

function readFlags(reader: ByteReader, flagsMax: number): number {
  const found = reader.u8();
  if (found > flagsMax) throw corrupt(`has unknown flags ${found}`);
  return found;
}

interface Envelope {
  readonly from: number;
  readonly to: number;
  readonly term: number;
}

function readEnvelope(reader: ByteReader): Envelope {
  const envelope = { from: reader.varint(), to: reader.varint(), term: reader.varint() };
  if (envelope.from === 0 || envelope.to === 0 || envelope.from === envelope.to) throw corrupt("is from or to nobody");
  return envelope;
}

/** Reads one message of many. */
export function readMessage(reader: ByteReader): Message {
  const version = reader.u8();
  if (version !== messageFormatVersion) throw corrupt(`has version ${version}, ${messageFormatVersion} is known`);
  const code = reader.u8();
  const type = typeByCode.get(code);
  if (type === undefined) throw corrupt(`has unknown type ${code}`);
  const envelope = readEnvelope(reader);
  switch (type) {
    case "append":
      return readAppend(reader, envelope);
    case "snapshot":
      return readSnapshot(reader, envelope);
    default:
      return readFixed(reader, type, envelope);
  }
}

function readFixed(reader: ByteReader, type: Exclude<Message["type"], "append" | "snapshot">, envelope: Envelope): Message {
  switch (type) {
    case "vote": {
      const bits = readFlags(reader, 3);
      const [preVote, force] = [(bits & 1) !== 0, (bits & 2) !== 0];
      return { type, ...envelope, preVote, force, lastIndex: reader.varint(), lastTerm: reader.varint() };
    }
    case "voteReply": {
      const bits = readFlags(reader, 3);
      return { type, ...envelope, preVote: (bits & 1) !== 0, granted: (bits & 2) !== 0 };
    }
    case "appendReply": {
      const rejected = readFlags(reader, 1) !== 0;
      return { type, ...envelope, rejected, index: reader.varint(), hintIndex: reader.varint(), hintTerm: reader.varint() };
    }
    case "heartbeat": {
      const quiesce = readFlags(reader, 1) !== 0;
      return { type, ...envelope, quiesce, commit: reader.varint(), round: reader.varint() };
    }
    case "heartbeatReply":
      return { type, ...envelope, round: reader.varint() };
    case "snapshotReply":
      return { type, ...envelope, stream: reader.varint(), nextOffset: reader.varint() };
    case "timeoutNow":
      return { type, ...envelope };
    case "readIndex":
      return { type, ...envelope, context: reader.varint() };
    case "readIndexReply":
      return { type, ...envelope, context: reader.varint(), index: reader.varint() };
    default:
      return unreachable(type, "message of a known type");
  }
}

function isKind(kind: number): kind is EntryKind {
  return kind === entryKinds.empty || kind === entryKinds.command || kind === entryKinds.configuration;
}

function readAppend(reader: ByteReader, envelope: Envelope): AppendMessage {
  const prevIndex = reader.varint();
  const prevTerm = reader.varint();
  const commit = reader.varint();
  const count = reader.varint();
  if (count * entryBytesMin > reader.remaining) throw corrupt(`has no room for ${count} entries`);
  if (!Number.isSafeInteger(prevIndex + count)) throw corrupt("has entries past 2^53");
  const entries: Entry[] = [];
  let term = prevTerm;
  for (let index = prevIndex + 1; index <= prevIndex + count; index++) {
    term += reader.varint();
    const kind = reader.u8();
    if (!isKind(kind)) throw corrupt(`has an entry of unknown kind ${kind}`);
    entries.push({ term, index, kind, data: reader.bytes() });
  }
  if (term > envelope.term) throw corrupt("has entries of a later term than its own");
  return { type: "append", ...envelope, prevIndex, prevTerm, commit, entries };
}

function readSnapshot(reader: ByteReader, envelope: Envelope): SnapshotMessage {
  const isLast = readFlags(reader, 1) !== 0;
  const stream = reader.varint();
  const offset = reader.varint();
  const index = reader.varint();
  const term = reader.varint();
  if (term > envelope.term) throw corrupt("has a snapshot of a later term than its own");
  const configuration = readConfiguration(reader);
  const data = reader.bytes();
  if (!Number.isSafeInteger(offset + data.length)) throw corrupt("has a chunk past 2^53");
  return { type: "snapshot", ...envelope, stream, meta: { index, term, configuration }, offset, data, isLast };
}
