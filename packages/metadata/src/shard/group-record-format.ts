/**
 * The records of the shared group log, version 1: what the stream of a frame is made of. Checksums are the frame's.
 *
 * | kind u8 | group varint | … |, then by kind:
 *   1 entry      | index varint | term varint | entryKind u8 | data (varint length, bytes) |   cuts the log at its index and follows it
 *   2 moved      as entry: a copy of what is in the log, written again before an old file goes; cuts nothing
 *   3 hardState  | term varint | vote varint | commit varint |
 *   4 compacted  | index varint | term varint | configuration |                                entries up to index go
 *   5 installed  as compacted, then | cutFrom varint |: all entries go; payloads below cutFrom, where the log began before, stay
 *   6 payload    | index varint | term varint | lengthBytes varint | bytes |                   before its entry, or later when it came later
 *   7 removed    nothing more: the group is not here any more
 *   8 reclaimed  `group` is a file id: every file up to it may go
 *   0            the end of the stream; zeros follow
 * Configuration: | flags u8 (1 autoLeave) | voters | votersOutgoing | learners | learnersNext |, each: | count varint | ids varint … |
 */
import { assert, ByteReader, CfsError } from "@cfs/core";
import type { ByteWriter } from "@cfs/core";
import type { Configuration, Entry, EntryKind, HardState, SnapshotMeta } from "./group-types.ts";

export const groupRecordKinds = {
  end: 0,
  entry: 1,
  moved: 2,
  hardState: 3,
  compacted: 4,
  installed: 5,
  payload: 6,
  removed: 7,
  reclaimed: 8,
} as const;

/** Replicas of one role in a configuration at most: bounds what a damaged count can ask for. */
export const configurationNodesMax = 1024;

export type GroupRecord =
  | { readonly type: "entry" | "moved"; readonly group: number; readonly entry: Entry }
  | { readonly type: "hardState"; readonly group: number; readonly hardState: HardState }
  | { readonly type: "compacted"; readonly group: number; readonly meta: SnapshotMeta }
  | { readonly type: "installed"; readonly group: number; readonly meta: SnapshotMeta; readonly cutFrom: number }
  | { readonly type: "payload"; readonly group: number; readonly index: number; readonly term: number; readonly bytes: Uint8Array }
  | { readonly type: "removed"; readonly group: number }
  | { readonly type: "reclaimed"; readonly fileId: number };

/** Writes everything of a record but the bytes of a payload, which follow as they are. Returns those. */
export function encodeGroupRecord(writer: ByteWriter, record: GroupRecord): Uint8Array | null {
  writer.u8(groupRecordKinds[record.type]);
  if (record.type === "reclaimed") {
    writer.varint(record.fileId);
    return null;
  }
  writer.varint(record.group);
  switch (record.type) {
    case "entry":
    case "moved": {
      const { index, term, kind, data } = record.entry;
      writer.varint(index).varint(term).u8(kind).bytes(data);
      return null;
    }
    case "hardState":
      writer.varint(record.hardState.term).varint(record.hardState.vote).varint(record.hardState.commit);
      return null;
    case "compacted":
    case "installed":
      writer.varint(record.meta.index).varint(record.meta.term);
      encodeConfiguration(writer, record.meta.configuration);
      if (record.type === "installed") writer.varint(record.cutFrom);
      return null;
    case "payload":
      writer.varint(record.index).varint(record.term).varint(record.bytes.length);
      return record.bytes;
    case "removed":
      return null;
  }
}

function encodeConfiguration(writer: ByteWriter, configuration: Configuration): void {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = configuration;
  writer.u8(autoLeave ? 1 : 0);
  for (const nodes of [voters, votersOutgoing, learners, learnersNext]) {
    assert(nodes.length <= configurationNodesMax, "a configuration is small");
    writer.varint(nodes.length);
    for (const node of nodes) writer.varint(node);
  }
}

function decodeConfiguration(reader: ByteReader): Configuration {
  const flags = reader.u8();
  const lists: number[][] = [];
  for (let list = 0; list < 4; list++) {
    const count = reader.varint();
    if (count > configurationNodesMax) throw new CfsError("CORRUPT", `a configuration in the group log has ${count} replicas of one role`);
    lists.push(Array.from({ length: count }, () => reader.varint()));
  }
  const [voters, votersOutgoing, learners, learnersNext] = lists as [number[], number[], number[], number[]];
  return { voters, votersOutgoing, learners, learnersNext, autoLeave: flags === 1 };
}

/** Visits every record of a frame's stream; `end` is where in the stream the record ends. Bytes are views of the stream. */
export function decodeGroupRecords(stream: Uint8Array, visit: (record: GroupRecord, end: number) => void): void {
  const reader = new ByteReader(stream, "frame of the group log");
  while (reader.remaining > 0) {
    const kind = reader.u8();
    if (kind === groupRecordKinds.end) break;
    const record = decodeRecord(reader, kind);
    visit(record, stream.length - reader.remaining);
  }
  const tail = stream.subarray(stream.length - reader.remaining);
  if (tail.some((byte) => byte !== 0)) throw new CfsError("CORRUPT", "a frame of the group log goes on behind its end");
}

function decodeRecord(reader: ByteReader, kind: number): GroupRecord {
  const group = reader.varint();
  switch (kind) {
    case groupRecordKinds.entry:
    case groupRecordKinds.moved:
      return { type: kind === groupRecordKinds.entry ? "entry" : "moved", group, entry: decodeEntry(reader) };
    case groupRecordKinds.hardState:
      return { type: "hardState", group, hardState: { term: reader.varint(), vote: reader.varint(), commit: reader.varint() } };
    case groupRecordKinds.compacted:
    case groupRecordKinds.installed: {
      const meta = { index: reader.varint(), term: reader.varint(), configuration: decodeConfiguration(reader) };
      return kind === groupRecordKinds.compacted
        ? { type: "compacted", group, meta }
        : { type: "installed", group, meta, cutFrom: reader.varint() };
    }
    case groupRecordKinds.payload:
      return { type: "payload", group, index: reader.varint(), term: reader.varint(), bytes: reader.bytes() };
    case groupRecordKinds.removed:
      return { type: "removed", group };
    case groupRecordKinds.reclaimed:
      return { type: "reclaimed", fileId: group };
    default:
      throw new CfsError("CORRUPT", `a frame of the group log holds a record of kind ${kind}`);
  }
}

function decodeEntry(reader: ByteReader): Entry {
  const index = reader.varint();
  const term = reader.varint();
  const kind = reader.u8();
  if (kind > 2 || index < 1 || term < 1)
    throw new CfsError("CORRUPT", `the group log holds an entry ${index} of kind ${kind}, term ${term}`);
  // Copied: the entry outlives the buffer that the file is read through.
  return { index, term, kind: kind as EntryKind, data: new Uint8Array(reader.bytes()) };
}
