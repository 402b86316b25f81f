/** Valid messages of every kind, drawn at random: for round trips, and as the start of damaged ones. */
import type { Random } from "@cfs/core";
import { type MemberState, stateRanks } from "../swim/member.ts";
import { type MemberRecord, type Message, messageTags, type MessageType } from "../swim/messages.ts";
import { limits } from "../swim/options.ts";
import { bucketCount } from "../swim/packet-format.ts";

const types = Object.keys(messageTags) as MessageType[];
const states = Object.keys(stateRanks) as MemberState[];

function below(random: Random, end: number): number {
  return Math.floor(random.next() * end);
}

function one<T>(random: Random, choices: readonly T[]): T {
  return choices[below(random, choices.length)] as T;
}

function someWord(random: Random, lengthMax: number): string {
  return String.fromCharCode(...Array.from({ length: 1 + below(random, lengthMax) }, () => 0x21 + below(random, 94)));
}

/** Small mostly, large sometimes, so that every length of a varint occurs; now and then at the very top. */
function someNumber(random: Random, max: number): number {
  if (random.next() < 0.02) return max - below(random, 3);
  return Math.min(max, Math.floor(random.next() * 2 ** below(random, 53)));
}

/** Of a value that is too long to be told at once. */
function somePulledLength(random: Random): number {
  return limits.itemInlineBytesMax + 1 + below(random, limits.itemBytesMax - limits.itemInlineBytesMax);
}

function someRecord(random: Random, state: MemberState): Omit<MemberRecord, "name"> {
  const labels: Record<string, string> = {};
  for (let count = below(random, 4); count > 0; count--) labels[someWord(random, 8)] = someWord(random, 12);
  return {
    state,
    incarnation: 1 + someNumber(random, limits.incarnationMax - 1),
    session: Buffer.from(random.bytes(new Uint8Array(8))).toString("hex"),
    address: someWord(random, 24),
    ageMs: state === "dead" || state === "left" ? someNumber(random, 2 ** 40) : 0,
    metadata: { labels, capacityBytes: someNumber(random, 2 ** 52), features: someNumber(random, 2 ** 52) },
  };
}

/** `known`: names that are drawn half of the time, so that messages are about members that somebody has. */
export function someMessage(random: Random, known: readonly string[] = []): Message {
  const type = one(random, types);
  const name = known.length > 0 && random.next() < 0.5 ? one(random, known) : someWord(random, 16);
  const version = 1 + someNumber(random, 2 ** 50);
  const hash = Buffer.from(random.bytes(new Uint8Array(16))).toString("hex");
  const incarnation = 1 + someNumber(random, limits.incarnationMax - 1);
  const seq = someNumber(random, 2 ** 31);
  switch (type) {
    case "ping":
      return { type, seq, source: someWord(random, 16), target: name };
    case "ack":
    case "nack":
      return { type, seq };
    case "pingRequest":
      return { type, seq, target: name, address: someWord(random, 24) };
    case "alive":
      return { type, record: { ...someRecord(random, "alive"), name } };
    case "record":
      return { type, record: { ...someRecord(random, one(random, states)), name } };
    case "suspect":
    case "dead":
      return { type, name, incarnation, from: someWord(random, 16) };
    case "left":
      return { type, name, incarnation };
    case "digest":
      return { type, source: name, sums: Uint32Array.from({ length: bucketCount }, () => below(random, 2 ** 32)) };
    case "sync":
      return { type, isPartial: random.next() < 0.5, ask: Array.from({ length: below(random, 65) }, () => below(random, bucketCount)) };
    case "announce":
      return { type, name, version, hash, lengthBytes: somePulledLength(random) };
    case "item":
      return { type, name, version, bytes: random.bytes(new Uint8Array(below(random, limits.itemInlineBytesMax))) };
    case "pull":
      return { type, name, version, hash, parts: Array.from({ length: below(random, limits.itemPartsMax + 1) }, () => below(random, 64)) };
    case "part": {
      const lengthBytes = somePulledLength(random);
      const index = below(random, Math.ceil(lengthBytes / limits.itemPartBytes));
      const sizeBytes = Math.min(limits.itemPartBytes, lengthBytes - index * limits.itemPartBytes);
      return { type, name, version, hash, lengthBytes, index, bytes: random.bytes(new Uint8Array(sizeBytes)) };
    }
    case "hello":
      return { type, address: someWord(random, 24) };
    default:
      return type satisfies never;
  }
}
