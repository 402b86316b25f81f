/**
 * A batch for one peer as bytes, version 1, for transports that need them. Numbers are varints unless a width is given.
 *
 * | version u8: 1 | items … to the end |
 *   1 raft      | group | gate | held | a message of raft-ts's message format |
 *   2 payloads  | group | count | each: index, term, lengthBytes, bytes |
 *   3 held      | group | replica | term | index |
 *   4 want      | group | count | each: index, term |
 *
 * Invariants: a malformed input is CORRUPT, never another exception; what is decoded needs memory in proportion to the input. Bytes of payloads and
 * of snapshot chunks are views of the input, which must not change afterwards; data of entries, which live long, are copied out.
 */
import { assert, ByteReader, ByteWriter, CfsError } from "@cfs/core";
import { readMessage, writeMessage } from "./group-types.ts";
import type { Message } from "./group-types.ts";
import type { PeerItem } from "./peers.ts";

export const peerBatchVersion = 1;

const kinds = { raft: 1, payloads: 2, held: 3, want: 4 } as const satisfies Readonly<Record<PeerItem["type"], number>>;

export function encodePeerBatch(batch: readonly PeerItem[]): Uint8Array {
  const writer = new ByteWriter(256).u8(peerBatchVersion);
  for (const item of batch) {
    writer.u8(kinds[item.type]).varint(item.group);
    switch (item.type) {
      case "raft":
        assert(Number.isSafeInteger(item.gate) && Number.isSafeInteger(item.held), "gate and held are indexes");
        writer.varint(item.gate).varint(item.held);
        writeMessage(writer, item.message);
        break;
      case "payloads":
        writer.varint(item.payloads.length);
        for (const { index, term, bytes } of item.payloads) writer.varint(index).varint(term).bytes(bytes);
        break;
      case "held":
        writer.varint(item.replica).varint(item.term).varint(item.index);
        break;
      case "want":
        writer.varint(item.entries.length);
        for (const { index, term } of item.entries) writer.varint(index).varint(term);
    }
  }
  return writer.take();
}

export function decodePeerBatch(bytes: Uint8Array): PeerItem[] {
  const reader = new ByteReader(bytes, "batch of a peer");
  const version = reader.u8();
  if (version !== peerBatchVersion)
    throw new CfsError("CORRUPT", `a peer sent a batch of version ${version}; this program knows ${peerBatchVersion}`);
  const batch: PeerItem[] = [];
  while (reader.remaining > 0) batch.push(decodeItem(reader));
  return batch;
}

function decodeItem(reader: ByteReader): PeerItem {
  const kind = reader.u8();
  const group = reader.varint();
  switch (kind) {
    case kinds.raft: {
      const gate = reader.varint();
      const held = reader.varint();
      return { type: "raft", group, gate, held, message: ownEntries(readMessage(reader)) };
    }
    case kinds.payloads:
      return {
        type: "payloads",
        group,
        payloads: list(reader, () => ({ index: reader.varint(), term: reader.varint(), bytes: reader.bytes() })),
      };
    case kinds.held:
      return { type: "held", group, replica: reader.varint(), term: reader.varint(), index: reader.varint() };
    case kinds.want:
      return { type: "want", group, entries: list(reader, () => ({ index: reader.varint(), term: reader.varint() })) };
    default:
      throw new CfsError("CORRUPT", `a batch of a peer holds an item of kind ${kind}`);
  }
}

/** Every element takes a byte at least, so a count beyond what is left is nonsense. */
function list<T>(reader: ByteReader, read: () => T): T[] {
  const count = reader.varint();
  if (count > reader.remaining) throw new CfsError("CORRUPT", `a batch of a peer says ${count} elements in ${reader.remaining} bytes`);
  return Array.from({ length: count }, read);
}

function ownEntries(message: Message): Message {
  if (message.type !== "append" || message.entries.length === 0) return message;
  return { ...message, entries: message.entries.map((entry) => ({ ...entry, data: new Uint8Array(entry.data) })) };
}
