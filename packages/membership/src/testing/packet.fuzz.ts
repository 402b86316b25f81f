/**
 * Damaged packets from a seed, at the decoder and, sealed, at a whole node: each is taken, or counted and dropped, and nothing else happens.
 *
 *   node --conditions=cfs-source packages/membership/src/testing/packet.fuzz.ts [inputs] [seed]
 *
 * What is decoded may hold at most a small multiple of what came in, encodes within its limits, and decodes to the same again.
 */
import { fileURLToPath } from "node:url";
import { CfsError, type Random } from "@cfs/core";
import { nodeHash } from "../node-hash.ts";
import { noMetadata } from "../swim/member.ts";
import type { Message } from "../swim/messages.ts";
import { KeyRing, PacketCipher } from "../swim/packet-cipher.ts";
import { decodePacket, joinFrames, MessageEncoder } from "../swim/packet-format.ts";
import { Swim } from "../swim/swim.ts";
import { seededRandom } from "./seeded-random.ts";
import { someMessage } from "./some-message.ts";
import { sumAead } from "./sum-aead.ts";

export interface FuzzCounts {
  inputs: number;
  decoded: number;
  refused: number;
  /** Of the decoded inputs: bytes held by their messages over bytes that came in, at most. */
  ratioMax: number;
}

const key = { id: 1, bytes: new Uint8Array(32).fill(3) };
/** Members that messages are about, the victim among them. */
const known = ["victim", "b", "c", "v0"];
const hostile = [0, 1, 0x7f, 0x80, 0xff];

/** Flips, overwrites, cuts and splices. */
function damage(random: Random, bytes: Uint8Array, other: Uint8Array): Uint8Array {
  let mutant = Uint8Array.from(bytes);
  for (let rounds = Math.floor(random.next() * 4); rounds > 0; rounds--) {
    const at = Math.floor(random.next() * mutant.length);
    const choice = Math.floor(random.next() * 5);
    if (choice === 0) mutant[at] = (mutant[at] ?? 0) ^ (1 << Math.floor(random.next() * 8));
    else if (choice === 1) mutant[at] = hostile[Math.floor(random.next() * hostile.length)] as number;
    else if (choice === 2) mutant = mutant.slice(0, at);
    else if (choice === 3) mutant.fill(0xff, at, at + 1 + Math.floor(random.next() * 8));
    else mutant = Uint8Array.from([...mutant.subarray(0, at), ...other.subarray(Math.floor(random.next() * other.length))]);
  }
  return mutant;
}

/** Bytes that a value holds: text, arrays, and 8 for each number. */
function heldBytes(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (value instanceof Uint8Array || value instanceof Uint32Array) return value.byteLength;
  if (typeof value !== "object" || value === null) return 8;
  let sum = 16;
  for (const [name, part] of Object.entries(value)) sum += (Array.isArray(value) ? 0 : name.length) + heldBytes(part);
  return sum;
}

function checkDecoded(encoder: MessageEncoder, messages: readonly Message[]): void {
  const frames = messages.map((message) => encoder.encode(message));
  const again = decodePacket(joinFrames(frames)).messages.map((message) => encoder.encode(message));
  if (Buffer.compare(joinFrames(frames), joinFrames(again)) !== 0) throw new Error("the round trip changes a message");
}

function decodeOne(encoder: MessageEncoder, bytes: Uint8Array, counts: FuzzCounts): void {
  counts.inputs++;
  try {
    const { messages } = decodePacket(bytes);
    counts.decoded++;
    counts.ratioMax = Math.max(counts.ratioMax, heldBytes(messages) / (bytes.length + 16));
    checkDecoded(encoder, messages);
  } catch (reason) {
    if (!(reason instanceof CfsError) || reason.code !== "CORRUPT")
      throw new Error(`input ${Buffer.from(bytes).toString("hex")}`, { cause: reason });
    counts.refused++;
  }
}

/** A node that gets what was damaged, sealed well: only members could do that, and even they must not harm it. */
class Victim {
  readonly #random: Random;
  readonly #cipher = new PacketCipher({ aead: sumAead, keys: new KeyRing([key]) }, "fuzz");
  #swim: Swim;
  #counter = 0;
  #clockMs = 0;

  constructor(random: Random) {
    this.#random = random;
    this.#swim = this.#start();
  }

  #start(): Swim {
    this.#counter = 0;
    const identity = { name: "victim", address: "victim:1", clusterId: "fuzz", keys: [key], metadata: noMetadata };
    return new Swim({ random: this.#random, aead: sumAead, hash: nodeHash }, identity);
  }

  take(plaintext: Uint8Array): void {
    if (this.#counter >= 5_000) this.#swim = this.#start();
    const packet = this.#cipher.seal("00000000000000aa", this.#counter++, this.#swim.self.session, plaintext);
    // Every fourth is damaged outside of the seal too, and must be foreign.
    if (this.#random.next() < 0.25) packet[Math.floor(this.#random.next() * packet.length)] = 0x5a;
    this.#clockMs += 50;
    this.#swim.receive(packet, "attacker:1", this.#clockMs);
    this.#swim.tick(this.#clockMs);
    // The host has its own words to say in between.
    if (this.#counter % 100 === 0) this.#swim.setMetadata(noMetadata);
    if (this.#counter % 500 === 0) this.#swim.broadcast(`v${this.#counter % 20}`, this.#counter, new Uint8Array(this.#counter));
    for (const { bytes } of this.#swim.effects().packets) if (bytes.length > 1_380) throw new Error("a packet is too large");
  }
}

export function fuzzPackets(inputs: number, seed: number): FuzzCounts {
  const random = seededRandom(seed);
  const encoder = new MessageEncoder();
  const victim = new Victim(random);
  const counts = { inputs: 0, decoded: 0, refused: 0, ratioMax: 0 };
  let other: Uint8Array = new Uint8Array(8);
  while (counts.inputs < inputs) {
    const frames = Array.from({ length: 1 + Math.floor(random.next() * 3) }, () => encoder.encode(someMessage(random, known)));
    const whole = joinFrames(frames);
    for (let each = 0; each < 8 && counts.inputs < inputs; each++) {
      const mutant = damage(random, whole, other);
      decodeOne(encoder, mutant, counts);
      if (each === 0 && mutant.length < 1_300) victim.take(mutant);
    }
    other = whole;
  }
  return counts;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const inputs = Number(process.argv[2] ?? 4_000_000);
  const seed = Number(process.argv[3] ?? 1);
  const { decoded, refused, ratioMax } = fuzzPackets(inputs, seed);
  const heapMiB = process.memoryUsage().heapUsed / 2 ** 20;
  process.stdout.write(
    `${inputs} inputs from seed ${seed}: ${decoded} decoded, ${refused} refused; messages held at most ${ratioMax.toFixed(1)} times their input; heap ${heapMiB.toFixed(0)} MiB\n`,
  );
}
