/** Messages come back as they were; damaged ones are CORRUPT and nothing else. More by command: message-format.fuzz.ts. */
import { describe, expect, test } from "vitest";
import { ByteReader, ByteWriter } from "@cfs/core";
import { fuzzMessages } from "./message-format.fuzz.ts";
import { decodeMessage, encodeMessage, readMessage, writeMessage } from "./message-format.ts";
import { someMessage } from "./testing/arbitraries.ts";
import { seededRandom } from "./testing/cluster.ts";

/** The same with plain arrays for bytes: views of buffers compare as what they hold. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]));
}

describe("bytes of a message", () => {
  test("come back as they were", () => {
    const random = seededRandom(3);
    const types = new Set<string>();
    for (let count = 0; count < 5000; count++) {
      const message = someMessage(random);
      types.add(message.type);
      expect(plain(decodeMessage(encodeMessage(message)))).toEqual(plain(message));
    }
    expect(types.size).toBe(11);
  });

  test("can follow each other", () => {
    const random = seededRandom(4);
    const messages = Array.from({ length: 20 }, () => someMessage(random));
    const writer = new ByteWriter();
    for (const message of messages) writeMessage(writer, message);
    const reader = new ByteReader(writer.take(), "batch");
    for (const message of messages) expect(plain(readMessage(reader))).toEqual(plain(message));
    reader.end();
  });

  test.each<[string, number[]]>([
    ["an unknown version", [9, 9, 1, 2, 3]],
    ["an unknown type", [1, 12, 1, 2, 3]],
    ["no sender", [1, 9, 0, 2, 3]],
    ["itself as its target", [1, 9, 2, 2, 3]],
    ["unknown flags", [1, 2, 1, 2, 3, 4]],
    ["more entries than bytes", [1, 3, 1, 2, 3, 0, 0, 0, 255, 255, 255, 127]],
    ["an entry of unknown kind", [1, 3, 1, 2, 3, 0, 0, 0, 1, 1, 7, 0]],
    ["an entry of a later term", [1, 3, 1, 2, 3, 0, 0, 0, 1, 4, 1, 0]],
    ["indexes past 2^53", [1, 3, 1, 2, 3, 255, 255, 255, 255, 255, 255, 255, 15, 0, 0, 1, 0, 1, 0]],
    ["a snapshot of a later term", [1, 7, 1, 2, 3, 0, 1, 0, 5, 4, 1, 0, 0, 0, 0, 0, 0]],
    ["a chunk past 2^53", [1, 7, 1, 2, 3, 0, 1, 255, 255, 255, 255, 255, 255, 255, 15, 5, 3, 1, 0, 0, 0, 0, 0, 1, 0]],
    ["trailing bytes", [1, 9, 1, 2, 3, 0]],
    ["nothing at all", []],
  ])("with %s are CORRUPT", (_name, bytes) => {
    expect(() => decodeMessage(Uint8Array.from(bytes))).toThrow("CORRUPT");
  });

  test("survive damage by the thousand", () => {
    const counts = fuzzMessages(50_000, 11);
    expect(counts.inputs).toBe(50_000);
    expect(counts.decoded).toBeGreaterThan(1000);
    expect(counts.refused).toBeGreaterThan(1000);
  });
});
