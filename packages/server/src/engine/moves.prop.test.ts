/** Plans of moves against a naive count of bytes: each byte that is needed is copied once, and every reference finds its own again. */
import type { InodeNumber, SegmentId } from "@cfs/core";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { planPieces, swapsOf } from "./moves.ts";
import type { Reference } from "./moves.ts";

const segment = 7 as SegmentId;
const target = 8 as SegmentId;
const references = fc.array(fc.record({ raw: fc.nat(40), lengthBytes: fc.integer({ min: 1, max: 20 }) }), { minLength: 1, maxLength: 12 });

test("every byte that is needed is copied once, from a file that has all of its piece, and each reference gets its own bytes", () => {
  fc.assert(
    fc.property(references, fc.integer({ min: 1, max: 9 }), (drawn, cut) => {
      const list = drawn.map(({ raw, lengthBytes }, index): Reference => {
        const source = { kind: "chunk", segment, chunkIndex: 3, rawOffsetBytes: raw } as const;
        return { ino: (100 + index) as InodeNumber, offsetBytes: 1000 * index, lengthBytes, source };
      });
      const pieces = planPieces(list);
      const copied: number[] = [];
      /** Byte of the old chunk by chunk and offset of the new segment. */
      const content = new Map<string, number>();
      const byFile = new Map<string, number>();
      pieces.forEach((piece, pieceIndex) => {
        const owner = list.find(({ ino }) => ino === piece.origin.ino);
        expect(owner && piece.origin.offsetBytes - owner.offsetBytes).toBe(piece.rawOffsetBytes - (owner?.source.rawOffsetBytes ?? 0));
        expect(piece.origin.offsetBytes + piece.lengthBytes).toBeLessThanOrEqual((owner?.offsetBytes ?? 0) + (owner?.lengthBytes ?? 0));
        const extents = [];
        for (let at = 0; at < piece.lengthBytes; at += cut) {
          const lengthBytes = Math.min(cut, piece.lengthBytes - at);
          const chunkIndex = 100 * pieceIndex + at;
          for (let byte = 0; byte < lengthBytes; byte++) content.set(`${chunkIndex}/${byte}`, piece.rawOffsetBytes + at + byte);
          extents.push({ lengthBytes, source: { kind: "chunk", segment: target, chunkIndex, rawOffsetBytes: 0 } as const });
        }
        for (let byte = 0; byte < piece.lengthBytes; byte++) copied.push(piece.rawOffsetBytes + byte);
        for (const { ino, offsetBytes, lengthBytes, from, to } of swapsOf(piece, extents)) {
          for (let byte = 0; byte < lengthBytes; byte++) {
            if (from.kind !== "chunk" || to.kind !== "chunk") throw new Error("not a chunk");
            expect(content.get(`${to.chunkIndex}/${to.rawOffsetBytes + byte}`)).toBe(from.rawOffsetBytes + byte);
            expect(byFile.has(`${ino}/${offsetBytes + byte}`)).toBe(false);
            byFile.set(`${ino}/${offsetBytes + byte}`, from.rawOffsetBytes + byte);
          }
        }
      });
      const needed = new Set(
        list.flatMap(({ source, lengthBytes }) => Array.from({ length: lengthBytes }, (_, at) => source.rawOffsetBytes + at)),
      );
      expect(copied).toEqual([...needed].toSorted((a, b) => a - b));
      for (const { ino, offsetBytes, lengthBytes, source } of list) {
        for (let byte = 0; byte < lengthBytes; byte++)
          expect(byFile.get(`${ino}/${offsetBytes + byte}`)).toBe(source.rawOffsetBytes + byte);
      }
    }),
    { numRuns: 500 },
  );
});
