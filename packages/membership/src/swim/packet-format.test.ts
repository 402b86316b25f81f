import { CfsError } from "@cfs/core";
import { describe, expect, it } from "vitest";
import { fuzzPackets } from "../testing/packet.fuzz.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { someMessage } from "../testing/some-message.ts";
import { noMetadata } from "./member.ts";
import { type Message, messageTags } from "./messages.ts";
import { decodePacket, joinFrames, MessageEncoder, metadataProblem, packetVersion } from "./packet-format.ts";

const encoder = new MessageEncoder();

/** Bytes in decoded messages are views of the packet. */
function withPlainBytes(message: Message): Message {
  return "bytes" in message ? { ...message, bytes: Uint8Array.from(message.bytes) } : message;
}

describe("packet format", () => {
  it("brings every kind of message back as it was", () => {
    const random = seededRandom(7);
    const seen = new Set<string>();
    for (let count = 0; count < 3_000; count++) {
      const messages = Array.from({ length: 1 + Math.floor(random.next() * 4) }, () => someMessage(random));
      for (const { type } of messages) seen.add(type);
      const decoded = decodePacket(joinFrames(messages.map((message) => encoder.encode(message)))).messages;
      expect(decoded.map(withPlainBytes)).toEqual(messages);
    }
    expect([...seen].sort()).toEqual(Object.keys(messageTags).sort());
  });

  it("skips messages of kinds to come, and counts them", () => {
    const later = Uint8Array.of(200, 3, 1, 2, 3);
    const ack = encoder.encode({ type: "ack", seq: 5 });
    expect(decodePacket(joinFrames([later, ack, later]))).toEqual({ messages: [{ type: "ack", seq: 5 }], unknownCount: 2 });
  });

  const hash = Array.from({ length: 16 }, () => 0xab);
  const text = (word: string): number[] => [word.length, ...Buffer.from(word)];
  it.each([
    ["a body that ends early", "ends early", messageTags.ack, []],
    ["a body that is too long", "1 bytes too many", messageTags.ack, [1, 1]],
    ["an empty name", "a name", messageTags.left, [0, 1]],
    ["incarnation zero", "an incarnation", messageTags.left, [...text("a"), 0]],
    ["a name with a space", "a name", messageTags.left, [...text(" "), 1]],
    ["a bucket that does not exist", "a bucket", messageTags.sync, [0, 1, 64]],
    ["a flag that is neither", "a flag", messageTags.sync, [2, 0]],
    ["an item that is too long", "the length of a value", messageTags.announce, [...text("a"), 1, ...hash, 0xff, 0xff, 0x7f]],
    ["an item that need not be pulled", "the length of a value", messageTags.announce, [...text("a"), 1, ...hash, 0x90, 0x03]],
    ["a hash that ends early", "ends early", messageTags.announce, [...text("a"), 1, ...hash.slice(1)]],
    ["version zero", "the version of a value", messageTags.item, [...text("a"), 0, 0]],
    ["too many parts", "a count of parts", messageTags.pull, [...text("a"), 1, ...hash, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1]],
    ["a part that no value has", "a part", messageTags.pull, [...text("a"), 1, ...hash, 1, 64]],
    ["a part beyond the end", "a part", messageTags.part, [...text("a"), 1, ...hash, 0x91, 0x03, 1, 0]],
    ["a state that does not exist", "a state", messageTags.record, [...text("a"), 9]],
  ])("refuses %s", (_what, why, tag, body) => {
    const frame = Uint8Array.from([tag, body.length, ...body]);
    expect(() => decodePacket(joinFrames([frame]))).toThrow(CfsError);
    expect(() => decodePacket(joinFrames([frame]))).toThrow(why);
  });

  it.each([
    ["a packet of another version", [packetVersion - 1]],
    ["nothing", []],
    ["a message that ends early", [packetVersion, messageTags.ack, 5, 1]],
  ])("refuses %s", (_what, bytes) => {
    expect(() => decodePacket(Uint8Array.from(bytes))).toThrow(CfsError);
  });

  it("refuses records that contradict themselves", () => {
    const record = {
      ...noMetadata,
      name: "a",
      state: "alive",
      incarnation: 1,
      session: "",
      address: "a:1",
      ageMs: 0,
      metadata: noMetadata,
    } as const;
    const decode = (change: object, type: "alive" | "record"): unknown =>
      decodePacket(joinFrames([encoder.encode({ type, record: { ...record, ...change } })]));
    expect(() => decode({}, "record")).toThrow("a session");
    expect(() => decode({ session: "00000000000000ff", address: "" }, "record")).toThrow("an address");
    expect(() => decode({ session: "00000000000000ff", state: "dead" }, "alive")).toThrow("another state");
    expect(() => decode({ session: "00000000000000ff", ageMs: 1 }, "record")).toThrow("the age");
    expect(() => decode({ state: "dead", address: "", ageMs: 1 }, "record")).not.toThrow();
  });

  it("refuses a label that comes twice", () => {
    const record = [...text("a"), 2, 1, ...Array.from({ length: 8 }, () => 0), 0, 0, 0, 0];
    const decode = (labels: readonly number[]): unknown =>
      decodePacket(joinFrames([Uint8Array.from([messageTags.record, record.length + labels.length, ...record, ...labels])]));
    expect(() => decode([2, ...text("k"), ...text("v"), ...text("l"), ...text("w")])).not.toThrow();
    expect(() => decode([2, ...text("k"), ...text("v"), ...text("k"), ...text("w")])).toThrow("twice");
  });

  it("says what is wrong with metadata", () => {
    const problem = (change: object): string | null => metadataProblem({ ...noMetadata, ...change });
    const labels = (count: number, length: number): Record<string, string> =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, "v".repeat(length)]));
    expect(problem({ labels: labels(4, 10) })).toBeNull();
    expect(problem({ labels: labels(17, 1) })).toMatch("17 labels");
    expect(problem({ labels: labels(1, 65) })).toMatch("value of the label k0");
    expect(problem({ labels: { "a b": "c" } })).toMatch("label key");
    expect(problem({ labels: labels(16, 60) })).toMatch("bytes of labels");
    expect(problem({ capacityBytes: -1 })).toMatch("capacity");
    expect(problem({ features: 2 ** 53 })).toMatch("feature");
  });

  it("stands 40,000 damaged packets, and so does a whole node", () => {
    const counts = fuzzPackets(40_000, 11);
    expect(counts.inputs).toBe(40_000);
    expect(counts.decoded).toBeGreaterThan(5_000);
    expect(counts.refused).toBeGreaterThan(5_000);
    expect(counts.ratioMax).toBeLessThan(40);
  });
});
