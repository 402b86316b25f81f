/**
 * Damaged messages at the decoder, from a seed: each is decoded, or CORRUPT, and nothing else; what is decoded encodes to the same again.
 *
 *   node --conditions=cfs-source packages/raft-ts/src/message-format.fuzz.ts [inputs] [seed]
 */
import { fileURLToPath } from "node:url";
import { CfsError, type Random } from "@cfs/core";
import { decodeMessage, encodeMessage } from "./message-format.ts";
import { someMessage } from "./testing/arbitraries.ts";
import { seededRandom } from "./testing/cluster.ts";

export interface FuzzCounts {
  inputs: number;
  inputBytes: number;
  decoded: number;
  refused: number;
  /** Of decoded messages; bounded by what came in. */
  entries: number;
}

/** Flips, cuts, doubles, splices and overwrites with the numbers that hurt. */
function mutate(random: Random, bytes: Uint8Array, other: Uint8Array): Uint8Array {
  let mutant = Uint8Array.from(bytes);
  for (let rounds = 1 + Math.floor(random.next() * 3); rounds > 0; rounds--) {
    const at = Math.floor(random.next() * mutant.length);
    const choice = Math.floor(random.next() * 6);
    if (choice === 0) mutant[at] = (mutant[at] ?? 0) ^ (1 << Math.floor(random.next() * 8));
    else if (choice === 1) mutant[at] = [0, 1, 0x7f, 0x80, 0xff][Math.floor(random.next() * 5)] as number;
    else if (choice === 2) mutant = mutant.slice(0, at);
    else if (choice === 3)
      mutant = Uint8Array.from([...mutant.subarray(0, at), ...other.subarray(Math.floor(random.next() * other.length))]);
    else if (choice === 4) mutant.fill(0xff, at, at + 1 + Math.floor(random.next() * 8));
    else mutant = Uint8Array.from([...mutant.subarray(0, at), ...mutant.subarray(at >> 1)]);
  }
  return mutant;
}

function decodeOne(bytes: Uint8Array, counts: FuzzCounts): void {
  counts.inputs++;
  counts.inputBytes += bytes.length;
  try {
    const message = decodeMessage(bytes);
    counts.decoded++;
    if (message.type === "append") {
      if (message.entries.length * 3 > bytes.length) throw new Error("more entries than bytes");
      counts.entries += message.entries.length;
    }
    const again = encodeMessage(message);
    if (Buffer.compare(again, encodeMessage(decodeMessage(again))) !== 0) throw new Error("the round trip changes the message");
  } catch (reason) {
    if (!(reason instanceof CfsError) || reason.code !== "CORRUPT") {
      throw new Error(`input ${Buffer.from(bytes).toString("hex")}`, { cause: reason });
    }
    counts.refused++;
  }
}

/** `inputs` damaged messages from `seed`. */
export function fuzzMessages(inputs: number, seed: number): FuzzCounts {
  const random = seededRandom(seed);
  const counts: FuzzCounts = { inputs: 0, inputBytes: 0, decoded: 0, refused: 0, entries: 0 };
  // A message is made once and damaged many times: making it costs more than decoding it.
  const perMessage = 16;
  let other = encodeMessage(someMessage(random));
  while (counts.inputs < inputs) {
    const bytes = encodeMessage(someMessage(random));
    for (let at = 0; at < perMessage && counts.inputs < inputs; at++) decodeOne(mutate(random, bytes, other), counts);
    other = bytes;
  }
  return counts;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const startMs = performance.now();
  const counts = fuzzMessages(Number(process.argv[2] ?? 4_000_000), Number(process.argv[3] ?? 1));
  console.log(`message decoder: ${JSON.stringify(counts)} in ${((performance.now() - startMs) / 1000).toFixed(1)} s, 0 crashes`);
}
