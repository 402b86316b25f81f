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

  it.each([
    ["another version", [packetVersion + 1]],
    ["nothing", []],
    ["a body that ends early", [1, messageTags.ack, 5, 1]],
    ["a body that is too long", [1, messageTags.ack, 2, 1, 1]],
    ["an empty name", [1, messageTags.left, 2, 0, 1]],
    ["incarnation zero", [1, messageTags.left, 3, 1, 0x61, 0]],
    ["a name with a space", [1, messageTags.left, 3, 1, 0x20, 1]],
    ["a bucket that does not exist", [1, messageTags.sync, 3, 0, 1, 64]],
    ["an item that is too long", [1, messageTags.announce, 6, 1, 0x61, 1, 0xff, 0xff, 0x7f]],
    ["too many parts", [1, messageTags.pull, 13, 1, 0x61, 1, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1]],
    ["a part beyond the end", [1, messageTags.part, 6, 1, 0x61, 1, 1, 1, 0]],
    ["a state that does not exist", [1, messageTags.record, 3, 1, 0x61, 9]],
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
    expect(() => decode({ state: "dead", address: "" }, "record")).not.toThrow();
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
