/** Batches survive encoding, and nonsense is refused in one way. */
import type { CfsError } from "@cfs/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { decodePeerBatch, encodePeerBatch } from "./peer-batch-format.ts";
import type { PeerItem } from "./peers.ts";

const index = fc.integer({ min: 1, max: 2 ** 45 });
const group = fc.integer({ min: 1, max: 70_000 });
const bytes = fc.uint8Array({ maxLength: 60 });
const envelope = { from: fc.integer({ min: 1, max: 4 }), to: fc.integer({ min: 5, max: 9 }), term: index };

const message = fc.oneof(
  fc.record({ type: fc.constant("heartbeat" as const), ...envelope, commit: index, round: index, quiesce: fc.boolean() }),
  fc.record({ type: fc.constant("appendReply" as const), ...envelope, index, rejected: fc.boolean(), hintIndex: index, hintTerm: index }),
  fc
    .record({ ...envelope, prevIndex: index, prevTerm: fc.constant(0), commit: index, data: fc.array(bytes, { maxLength: 4 }) })
    .map(({ data, ...rest }) => ({
      ...rest,
      type: "append" as const,
      entries: data.map((one, at) => ({ term: rest.term, index: rest.prevIndex + 1 + at, kind: 1 as const, data: one })),
    })),
);

const item: fc.Arbitrary<PeerItem> = fc.oneof(
  fc.record({ type: fc.constant("raft" as const), group, message, gate: index, held: index }),
  fc.record({
    type: fc.constant("payloads" as const),
    group,
    payloads: fc.array(fc.record({ index, term: index, bytes }), { maxLength: 3 }),
  }),
  fc.record({ type: fc.constant("held" as const), group, replica: index, term: index, index }),
  fc.record({ type: fc.constant("want" as const), group, entries: fc.array(fc.record({ index, term: index }), { maxLength: 3 }) }),
);

/** Views and copies alike. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, plain(field)]));
}

test("a batch is read as it was written", () => {
  fc.assert(
    fc.property(fc.array(item, { maxLength: 8 }), (batch) => {
      expect(plain(decodePeerBatch(encodePeerBatch(batch)))).toEqual(plain(batch));
    }),
  );
});

test("a batch that was cut, changed or made up is CORRUPT or a batch, and nothing else happens", () => {
  let refused = 0;
  fc.assert(
    fc.property(fc.array(item, { maxLength: 4 }), fc.nat(), fc.nat(255), fc.boolean(), (batch, place, value, isCut) => {
      const encoded = Buffer.from(encodePeerBatch(batch));
      const at = place % encoded.length;
      const input = isCut ? encoded.subarray(0, at) : encoded;
      if (!isCut) input[at] = value;
      try {
        decodePeerBatch(input);
      } catch (reason) {
        expect((reason as CfsError).code).toBe("CORRUPT");
        refused++;
      }
    }),
    { numRuns: 5000 },
  );
  expect(refused).toBeGreaterThan(500);
});
