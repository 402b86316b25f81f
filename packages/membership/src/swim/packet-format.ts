/**
 * The bytes inside the seal.
 *
 * Packet:  | version 1 | message … |
 * Message: | tag 1 | bodyBytes varint | body |           numbers are varints, texts | count varint | printable ASCII |
 *   ping   | seq | source | target |                      ack, nack | seq |         pingRequest | seq | target | address |
 *   alive, record | name | state 1 | incarnation | session 8 | address | ageMs | capacityBytes | features | labels 1 × (key, value) |
 *   suspect, dead | name | incarnation | from |           left | name | incarnation |
 *   digest | source | 64 × u32 |                          sync | isPartial 1 | asked buckets 1 × u8 |
 *   announce | name | version | hash 16 | lengthBytes |   item | name | version | bytes |
 *   pull   | name | version | hash 16 | parts 1 × varint | part | name | version | hash 16 | lengthBytes | index | bytes |
 *   hello  | address |
 *
 * A message of an unknown tag is skipped and counted, so that a newer node may say more. A known one must fill its body exactly.
 * Invariant: whatever decodes can be encoded again within the limits; decoding allocates no more than a small multiple of the input.
 */
import { assert, ByteReader, ByteWriter, CfsError, unreachable } from "@cfs/core";
import { type MemberState, type Metadata, stateRanks } from "./member.ts";
import { type MemberRecord, type Message, messageTags, type MessageType } from "./messages.ts";
import { limits } from "./options.ts";
import type { ValueId } from "./rules.ts";

export const packetVersion = 2;
export const bucketCount = 64;

const typeByTag: ReadonlyMap<number, MessageType> = new Map(
  (Object.entries(messageTags) as [MessageType, number][]).map(([type, tag]) => [tag, type]),
);
const states = Object.keys(stateRanks) as MemberState[];
const word = /^[\x21-\x7e]+$/;
const printable = /^[\x20-\x7e]*$/;
const hashBytes = 16;
const partsMax = limits.itemBytesMax / limits.itemPartBytes;

export interface Packet {
  readonly messages: readonly Message[];
  readonly unknownCount: number;
}

function refuse(what: string): never {
  throw new CfsError("CORRUPT", `gossip message: ${what}`);
}

export function isWord(text: string, bytesMax: number): boolean {
  return text.length <= bytesMax && word.test(text);
}

/** Why this metadata cannot be announced, or null. */
export function metadataProblem(metadata: Metadata): string | null {
  const labels = Object.entries(metadata.labels);
  if (labels.length > limits.labelsMax) return `${labels.length} labels, at most ${limits.labelsMax}`;
  let sizeBytes = 20;
  for (const [key, value] of labels) {
    if (!isWord(key, limits.labelKeyBytesMax)) return `the label key ${JSON.stringify(key)}`;
    if (value.length > limits.labelValueBytesMax || !printable.test(value)) return `the value of the label ${key}`;
    sizeBytes += key.length + value.length + 2;
  }
  if (sizeBytes > limits.metadataBytesMax) return `${sizeBytes} bytes of labels, at most ${limits.metadataBytesMax}`;
  if (!Number.isSafeInteger(metadata.capacityBytes) || metadata.capacityBytes < 0) return "the capacity";
  return Number.isSafeInteger(metadata.features) && metadata.features >= 0 ? null : "the feature bits";
}

/** Encodes messages one by one; keeps its buffers. Not for use by two callers at once, which a synchronous core never is. */
export class MessageEncoder {
  readonly #body = new ByteWriter(1_500);
  readonly #frame = new ByteWriter(1_500);

  /** The framed message: tag, length, body. */
  encode(message: Message): Uint8Array {
    this.#writeBody(message);
    const body = this.#body.take();
    return Uint8Array.from(this.#frame.u8(messageTags[message.type]).bytes(body).take());
  }

  #writeBody(message: Message): void {
    const out = this.#body;
    switch (message.type) {
      case "ping":
        return void out.varint(message.seq).latin1(message.source).latin1(message.target);
      case "ack":
      case "nack":
        return void out.varint(message.seq);
      case "pingRequest":
        return void out.varint(message.seq).latin1(message.target).latin1(message.address);
      case "alive":
      case "record":
        return this.#writeRecord(message.record);
      case "suspect":
      case "dead":
        return void out.latin1(message.name).varint(message.incarnation).latin1(message.from);
      case "left":
        return void out.latin1(message.name).varint(message.incarnation);
      case "digest":
        out.latin1(message.source);
        assert(message.sums.length === bucketCount, "a digest has a sum per bucket");
        for (const sum of message.sums) out.u32(sum);
        return;
      case "sync":
        out.u8(message.isPartial ? 1 : 0).u8(message.ask.length);
        for (const bucket of message.ask) out.u8(bucket);
        return;
      case "announce":
        return void this.#writeValueId(message).varint(message.lengthBytes);
      case "item":
        return void out.latin1(message.name).varint(message.version).bytes(message.bytes);
      case "pull":
        this.#writeValueId(message).u8(message.parts.length);
        for (const part of message.parts) out.varint(part);
        return;
      case "part":
        return void this.#writeValueId(message).varint(message.lengthBytes).varint(message.index).bytes(message.bytes);
      case "hello":
        return void out.latin1(message.address);
      default:
        return unreachable(message, "message type");
    }
  }

  #writeValueId({ name, version, hash }: { readonly name: string } & ValueId): ByteWriter {
    const bytes = Buffer.from(hash, "hex");
    assert(bytes.length === hashBytes, "the hash of a value has 16 bytes");
    return this.#body.latin1(name).varint(version).raw(bytes);
  }

  #writeRecord(record: MemberRecord): void {
    const out = this.#body;
    out.latin1(record.name).u8(stateRanks[record.state]).varint(record.incarnation);
    out.raw(Buffer.from(record.session.padEnd(16, "0"), "hex"));
    out.latin1(record.address).varint(Math.floor(record.ageMs));
    out.varint(record.metadata.capacityBytes).varint(record.metadata.features);
    const labels = Object.entries(record.metadata.labels);
    out.u8(labels.length);
    for (const [key, value] of labels) out.latin1(key).latin1(value);
  }
}

/** The plaintext of a packet from framed messages. */
export function joinFrames(frames: readonly Uint8Array[]): Uint8Array {
  let sizeBytes = 1;
  for (const frame of frames) sizeBytes += frame.length;
  const packet = new Uint8Array(sizeBytes);
  packet[0] = packetVersion;
  let at = 1;
  for (const frame of frames) {
    packet.set(frame, at);
    at += frame.length;
  }
  return packet;
}

function readWord(reader: ByteReader, bytesMax: number, what: string): string {
  const text = reader.latin1();
  return isWord(text, bytesMax) ? text : refuse(what);
}

const readName = (reader: ByteReader): string => readWord(reader, limits.nameBytesMax, "a name");
const readItemName = (reader: ByteReader): string => readWord(reader, limits.itemNameBytesMax, "the name of a value");
const readAddress = (reader: ByteReader): string => readWord(reader, limits.addressBytesMax, "an address");

function readIncarnation(reader: ByteReader): number {
  const incarnation = reader.varint();
  return incarnation >= 1 && incarnation <= limits.incarnationMax ? incarnation : refuse("an incarnation");
}

function readVersion(reader: ByteReader): number {
  const version = reader.varint();
  return version >= 1 ? version : refuse("the version of a value");
}

function readValueId(reader: ByteReader): { readonly name: string } & ValueId {
  return { name: readItemName(reader), version: readVersion(reader), hash: Buffer.from(reader.raw(hashBytes)).toString("hex") };
}

/** Of a value that is pulled; a shorter one is told at once. */
function readLength(reader: ByteReader): number {
  const lengthBytes = reader.varint();
  const isPulled = lengthBytes > limits.itemInlineBytesMax && lengthBytes <= limits.itemBytesMax;
  return isPulled ? lengthBytes : refuse("the length of a value");
}

function readMetadata(reader: ByteReader): Metadata {
  const capacityBytes = reader.varint();
  const features = reader.varint();
  const labels: Record<string, string> = {};
  const count = reader.u8();
  for (let index = 0; index < count; index++) {
    const key = reader.latin1();
    if (Object.hasOwn(labels, key)) refuse("a label that comes twice");
    Object.defineProperty(labels, key, { value: reader.latin1(), enumerable: true, configurable: true, writable: true });
  }
  const metadata = { labels, capacityBytes, features };
  return metadataProblem(metadata) === null ? metadata : refuse("metadata");
}

function readRecord(reader: ByteReader, type: "alive" | "record"): MemberRecord {
  const name = readName(reader);
  const state = states[reader.u8()] ?? refuse("a state");
  const incarnation = readIncarnation(reader);
  const sessionHex = Buffer.from(reader.raw(8)).toString("hex");
  const session = sessionHex === "0000000000000000" ? "" : sessionHex;
  const address = reader.latin1();
  const ageMs = reader.varint();
  const isGone = state === "dead" || state === "left";
  if (!(isWord(address, limits.addressBytesMax) || (isGone && address === ""))) refuse("an address");
  if (!isGone && session === "") refuse("a session");
  if (!isGone && ageMs !== 0) refuse("the age of the living");
  if (type === "alive" && state !== "alive") refuse("its own words in another state");
  return { name, state, incarnation, session, address, ageMs, metadata: readMetadata(reader) };
}

function readSums(reader: ByteReader): Uint32Array {
  const sums = new Uint32Array(bucketCount);
  for (let bucket = 0; bucket < bucketCount; bucket++) sums[bucket] = reader.u32();
  return sums;
}

function readFlag(reader: ByteReader): boolean {
  const flag = reader.u8();
  return flag <= 1 ? flag === 1 : refuse("a flag");
}

function readAsk(reader: ByteReader): readonly number[] {
  const ask = [...reader.raw(reader.u8())];
  return ask.length <= bucketCount && ask.every((bucket) => bucket < bucketCount) ? ask : refuse("a bucket");
}

function readParts(reader: ByteReader): readonly number[] {
  const count = reader.u8();
  if (count > limits.itemPartsMax) refuse("a count of parts");
  const parts = Array.from({ length: count }, () => reader.varint());
  return parts.every((part) => part < partsMax) ? parts : refuse("a part");
}

function readPart(reader: ByteReader): Message {
  const id = readValueId(reader);
  const lengthBytes = readLength(reader);
  const index = reader.varint();
  const bytes = reader.bytes();
  const offsetBytes = index * limits.itemPartBytes;
  if (offsetBytes >= lengthBytes || bytes.length !== Math.min(limits.itemPartBytes, lengthBytes - offsetBytes)) refuse("a part");
  return { type: "part", ...id, lengthBytes, index, bytes };
}

function readBody(type: MessageType, reader: ByteReader): Message {
  switch (type) {
    case "ping":
      return { type, seq: reader.varint(), source: readName(reader), target: readName(reader) };
    case "ack":
    case "nack":
      return { type, seq: reader.varint() };
    case "pingRequest":
      return { type, seq: reader.varint(), target: readName(reader), address: readAddress(reader) };
    case "alive":
    case "record":
      return { type, record: readRecord(reader, type) };
    case "suspect":
    case "dead":
      return { type, name: readName(reader), incarnation: readIncarnation(reader), from: readName(reader) };
    case "left":
      return { type, name: readName(reader), incarnation: readIncarnation(reader) };
    case "digest":
      return { type, source: readName(reader), sums: readSums(reader) };
    case "sync":
      return { type, isPartial: readFlag(reader), ask: readAsk(reader) };
    case "announce":
      return { type, ...readValueId(reader), lengthBytes: readLength(reader) };
    case "item": {
      const item = { type, name: readItemName(reader), version: readVersion(reader), bytes: reader.bytes() } as const;
      return item.bytes.length <= limits.itemInlineBytesMax ? item : refuse("a value that is too long to be told at once");
    }
    case "pull":
      return { type, ...readValueId(reader), parts: readParts(reader) };
    case "part":
      return readPart(reader);
    case "hello":
      return { type, address: readAddress(reader) };
    default:
      return unreachable(type, "message type");
  }
}

/** CORRUPT for anything that is not a packet of this version. Bytes in messages are views of `plaintext`. */
export function decodePacket(plaintext: Uint8Array): Packet {
  const reader = new ByteReader(plaintext, "gossip packet");
  if (reader.u8() !== packetVersion) refuse("a packet of another version");
  const messages: Message[] = [];
  let unknownCount = 0;
  while (reader.remaining > 0) {
    const type = typeByTag.get(reader.u8());
    const body = reader.bytes();
    if (type === undefined) {
      unknownCount++;
      continue;
    }
    const bodyReader = new ByteReader(body, type);
    messages.push(readBody(type, bodyReader));
    bodyReader.end();
  }
  return { messages, unknownCount };
}
