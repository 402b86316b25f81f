/**
 * Random writes, truncates, fallocates, copies, packs and deletions against naive byte maps; every counter recounted at the end.
 *
 * Packs are prepared at one time and published at a later one, so that much of what they packed is stale by then.
 */
/* oxlint-disable vitest/no-standalone-expect, vitest/expect-expect -- what is expected stands in the methods that every test calls */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rootInode } from "@cfs/core";
import type { InodeNumber, Name, SegmentId } from "@cfs/core";
import { checkState } from "./check/check.ts";
import type { Command, NewSegment, Swap, Write } from "./commands.ts";
import { shiftSource } from "./content/extents.ts";
import { locate, seek, seekData, seekHole } from "./queries.ts";
import { regionBytes } from "./records.ts";
import type { ChunkShape, ExtentSource, Inode } from "./records.ts";
import { listZombies } from "./state-scans.ts";
import { ModelFile, reservedSymbol, Shelf } from "./testing/model-content.ts";
import type { Symbols } from "./testing/model-content.ts";
import { runs } from "./testing/runs.ts";
import { ada, root, tinyCaches, World } from "./testing/world.ts";
import { fitsInline, needsSpill } from "./write.ts";

type Draw = readonly [number, number, number, number, number, number];

const anchors = [
  0,
  0,
  50,
  4000,
  4096,
  regionBytes - 60,
  regionBytes,
  regionBytes + 100,
  2 * regionBytes - 30,
  5 * regionBytes,
  ...Array.from({ length: 14 }, (_, index) => index * regionBytes + 10),
];
const lengths = [1, 3, 20, 64, 64, 130, 200];

function pick<T>(list: readonly T[], draw: number): T {
  return list[draw % list.length] as T;
}

class Game {
  readonly world: World;
  readonly files = new Map<InodeNumber, ModelFile>();
  readonly shelf = new Shelf();
  readonly pending: { readonly segment: NewSegment; readonly swaps: readonly Swap[] }[] = [];
  #records = 0;
  #segments = 0;

  constructor(isTiny: boolean) {
    this.world = new World(isTiny ? tinyCaches : {});
    for (let count = 0; count < 3; count++) this.#create();
  }

  #create(): void {
    const ino = this.world.newInode();
    this.world.must({
      type: "makeNode",
      parent: rootInode,
      name: `f${ino}` as Name,
      ino,
      kind: "file",
      mode: 0o644,
      umask: 0,
      rdev: 0,
      target: null,
      caller: root,
      time: this.world.time(),
    });
    this.files.set(ino, new ModelFile());
  }

  #file(draw: number): readonly [InodeNumber, ModelFile, Inode] {
    const [ino, file] = pick([...this.files], draw);
    return [ino, file, this.world.inode(ino)];
  }

  #payload(symbols: Symbols): { readonly fileId: number; readonly recordOffsetBytes: number } {
    this.#records += 1;
    const place = { fileId: 1 + Math.floor(this.#records / 10), recordOffsetBytes: 4096 * this.#records };
    this.shelf.putRecord(place.fileId, place.recordOffsetBytes, symbols);
    return place;
  }

  #newSymbols(length: number): Symbols {
    return Array.from({ length }, (_, index) => `r${this.#records}:${index}`);
  }

  #write(ino: InodeNumber, offsetBytes: number, source: Write["source"], lengthBytes: number, spill = false): Write {
    return {
      type: "write",
      ino,
      offsetBytes,
      lengthBytes,
      source,
      setTimes: !spill,
      killSetId: false,
      spill,
      caller: ada,
      time: this.world.time(),
    };
  }

  /** Inline data moves to the journal; holes before its end have become zeros. */
  #spill(ino: InodeNumber, file: ModelFile): void {
    const inode = this.world.inode(ino);
    const symbols = Array.from({ length: inode.inlineBytes }, (_, at) => {
      const symbol = file.bytes.get(at) ?? "v0";
      return symbol === reservedSymbol ? "v0" : symbol;
    });
    expect([...(inode.inline ?? [])].map((byte) => `v${byte}`)).toEqual(symbols);
    this.world.must(this.#write(ino, 0, { kind: "payload" }, inode.inlineBytes, true), this.#payload(symbols));
    file.bytes.clear();
    file.write(0, symbols);
  }

  write(a: number, b: number, c: number, d: number): void {
    const [ino, file, inode] = this.#file(a);
    const offset = pick(anchors, b) + (d % 90);
    const length = pick(lengths, c);
    if (d % 3 > 0 && fitsInline(inode, offset, length)) {
      const bytes = Uint8Array.from({ length }, (_, index) => (c + index * 7) % 256);
      this.world.must(this.#write(ino, offset, { kind: "inline", bytes }, length));
      file.write(
        offset,
        [...bytes].map((byte) => `v${byte}`),
      );
      return;
    }
    const command = this.#write(ino, offset, { kind: "payload" }, length);
    if (needsSpill(inode, command)) {
      expect(this.world.run(command, { fileId: 1, recordOffsetBytes: 0 }), "inline data must be spilled first").toBe(22);
      this.#spill(ino, file);
    }
    const symbols = this.#newSymbols(length);
    this.world.must(command, this.#payload(symbols));
    file.write(offset, symbols);
  }

  truncate(a: number, b: number, c: number): void {
    const [ino, file] = this.#file(a);
    const sizeBytes = c % 5 === 0 ? 0 : pick(anchors, b) + (c % 130);
    this.world.must({
      type: "setAttributes",
      ino,
      mode: null,
      uid: null,
      gid: null,
      sizeBytes,
      atime: null,
      mtime: null,
      ctime: null,
      isTouch: false,
      killSetId: false,
      caller: root,
      time: this.world.time(),
    });
    file.truncate(sizeBytes);
  }

  allocate(a: number, b: number, c: number, d: number): void {
    const [ino, file, inode] = this.#file(a);
    const action = pick(["reserve", "punch", "zero"] as const, c);
    const keepSize = action === "punch" || d % 2 === 0;
    const offsetBytes = pick(anchors, b) + (d % 70);
    // A long punch costs nothing in the naive model; long reserves would.
    const lengthBytes = action === "punch" && d % 5 === 0 ? 3 * regionBytes + 7 : pick(lengths, d);
    const command: Command = { type: "allocate", ino, action, keepSize, offsetBytes, lengthBytes, caller: root, time: this.world.time() };
    if (needsSpill(inode, command)) this.#spill(ino, file);
    this.world.must(command);
    if (lengthBytes > 1000) {
      for (const offset of file.bytes.keys()) if (offset >= offsetBytes && offset < offsetBytes + lengthBytes) file.bytes.delete(offset);
    } else {
      file.allocate(action, keepSize, offsetBytes, lengthBytes);
    }
    // Inline, a reservation is zeros within the size, and nothing past it.
    if (this.world.inode(ino).hasExtents) return;
    for (const [offset, symbol] of file.bytes) if (symbol === reservedSymbol) file.bytes.delete(offset);
  }

  copy(a: number, b: number, c: number, d: number): void {
    const [source, from] = this.#file(a);
    const [target, to] = this.#file(a >>> 4);
    const sourceOffsetBytes = pick(anchors, b) + (d % 50);
    const targetOffsetBytes = pick(anchors, c) + (d % 110);
    const lengthBytes = pick(lengths, d);
    for (const [ino, file] of [
      [source, from],
      [target, to],
    ] as const)
      if (this.world.inode(ino).inlineBytes > 0) this.#spill(ino, file);
    const isOverlap = source === target && Math.abs(sourceOffsetBytes - targetOffsetBytes) < lengthBytes;
    const errno = this.world.run({
      type: "copyRange",
      source,
      sourceOffsetBytes,
      target,
      targetOffsetBytes,
      lengthBytes,
      caller: root,
      time: this.world.time(),
    });
    expect(errno).toBe(isOverlap ? 22 : 0);
    if (!isOverlap) to.copyFrom(from, sourceOffsetBytes, targetOffsetBytes, lengthBytes);
  }

  #newSegment(chunks: readonly Symbols[]): NewSegment {
    this.#segments += 1;
    const id = this.#segments as SegmentId;
    const records: ChunkShape[] = [];
    let at = 0;
    chunks.forEach((symbols, index) => {
      this.shelf.putChunk(id, index, symbols);
      const storedBytes = 1 + (symbols.length >>> 1);
      records.push({ storedOffsetBytes: at, storedBytes, rawBytes: symbols.length, codec: 1 });
      at += storedBytes;
    });
    const places = [0, 1, 2].map((drive) => ({ drive, container: id, offsetBytes: 8192 * id }));
    return { id, k: 2, m: 1, fragmentBytes: 4096, segmentBytes: at, places, chunks: records };
  }

  /** Prepares swaps of pieces that are current now: from the journal, or (a compaction) from older segments. */
  pack(a: number, b: number, c: number): void {
    const pieces = [...this.files.keys()].flatMap((ino) => {
      const inode = this.world.inode(ino);
      return locate(this.world.server, inode, 0, inode.sizeBytes).map((piece) => ({ ino, piece }));
    });
    const packed = pieces
      .filter(({ piece }) => piece.source.kind === (a % 3 === 0 ? "chunk" : "journal"))
      .filter((_, index) => ((b >>> (index % 12)) & 1) === 0);
    if (packed.length === 0) return;
    const chunks: Symbols[] = [];
    const parts: { ino: InodeNumber; offsetBytes: number; lengthBytes: number; from: ExtentSource }[] = [];
    for (const { ino, piece } of packed) {
      const from = piece.source as ExtentSource;
      const cut = piece.lengthBytes > 8 ? c % 4 : 0;
      const part = { ino, offsetBytes: piece.offsetBytes + cut, lengthBytes: piece.lengthBytes - 2 * cut, from: shiftSource(from, cut) };
      parts.push(part);
      chunks.push(this.shelf.symbols(part.from, part.lengthBytes));
    }
    const segment = this.#newSegment(chunks);
    this.pending.push({
      segment,
      swaps: parts.map((part, chunkIndex) => ({ ...part, to: { kind: "chunk", segment: segment.id, chunkIndex, rawOffsetBytes: 0 } })),
    });
  }

  publish(a: number): void {
    if (this.pending.length === 0) return;
    const [next] = this.pending.splice(a % this.pending.length, 1);
    if (next !== undefined) this.world.must({ type: "publish", ...next });
  }

  writeSegment(a: number, b: number, c: number): void {
    const writes: Write[] = [];
    const chunks: Symbols[] = [];
    const id = (this.#segments + 1) as SegmentId;
    for (let count = 0; count < 1 + (b % 3); count++) {
      const [ino, file, inode] = this.#file(a + count);
      if (inode.inlineBytes > 0) this.#spill(ino, file);
      this.#records += 1;
      const symbols = this.#newSymbols(pick(lengths, c + count) + 100);
      const half = symbols.length >>> 1;
      chunks.push(symbols.slice(0, half), symbols.slice(half));
      const extents = [symbols.slice(0, half), symbols.slice(half)].map((part, index) => ({
        lengthBytes: part.length,
        source: { kind: "chunk", segment: id, chunkIndex: 2 * count + index, rawOffsetBytes: 0 } as const,
      }));
      const offset = pick(anchors, c + count * 5);
      writes.push(this.#write(ino, offset, { kind: "extents", extents }, symbols.length));
      file.write(offset, symbols);
    }
    expect(this.world.runSegment({ type: "writeSegment", segment: this.#newSegment(chunks), writes })).toBe(0);
  }

  async remove(a: number): Promise<void> {
    const [ino] = this.#file(a);
    this.world.must({
      type: "unlink",
      parent: rootInode,
      name: `f${ino}` as Name,
      directory: false,
      caller: root,
      time: this.world.time(),
    });
    this.world.must({ type: "reap", ino });
    this.files.delete(ino);
    this.#create();
    for (const zombie of await listZombies(this.world.server, 0, 10))
      if (a % 3 > 0) this.world.must({ type: "dropContent", ino: zombie, regionsMax: 1 + (a % 9) });
  }

  tend(a: number, b: number): void {
    if (this.#segments === 0) return;
    const id = (1 + (a % this.#segments)) as SegmentId;
    const segment = this.world.server.segment(id);
    if (segment === null) return;
    if (b % 2 === 0) {
      const from = segment.places[1];
      if (from === undefined) return;
      const to = { drive: b % 3, container: b, offsetBytes: 4096 * b };
      const isTaken = segment.places.some(({ drive }, fragment) => fragment !== 1 && drive === to.drive);
      expect(this.world.run({ type: "relocate", segment: id, fragment: 1, from, to })).toBe(isTaken ? 16 : 0);
      return;
    }
    const isDead = segment.chunks.every((chunk) => chunk.refs === 0);
    expect(this.world.run({ type: "dropSegment", segment: id })).toBe(isDead ? 0 : 16);
  }

  async play([what, a, b, c, d, e]: Draw): Promise<void> {
    switch (what % 16) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
        return this.write(a, b, c, d);
      case 5:
        return this.truncate(a, b, c);
      case 6:
      case 7:
        return this.allocate(a, b, c, d);
      case 8:
      case 9:
        return this.copy(a, b, c, d);
      case 10:
        return this.pack(a, b, c);
      case 11:
      case 12:
        return this.publish(a);
      case 13:
        return this.writeSegment(a, b, c);
      case 14:
        return e % 2 === 0 ? this.remove(a) : this.publish(a);
      default:
        return this.tend(a, b);
    }
  }

  compare(): void {
    for (const [ino, file] of this.files) {
      const inode = this.world.inode(ino);
      expect(inode.sizeBytes, `size of ${ino}`).toBe(file.sizeBytes);
      expect(this.#read(inode), `content of ${ino}`).toEqual(file.visible());
      if (inode.hasExtents) expect(inode.allocatedBytes, `allocated bytes of ${ino}`).toBe(file.bytes.size);
      this.#compareSeek(inode, file);
    }
    this.world.compareClient();
  }

  #read(inode: Inode): Map<number, string> {
    const found = new ModelFile();
    found.sizeBytes = inode.sizeBytes;
    for (const [at, byte] of [...(inode.inline ?? [])].entries()) found.bytes.set(at, `v${byte}`);
    let end = 0;
    for (const piece of locate(this.world.server, inode, 0, inode.sizeBytes)) {
      expect(piece.offsetBytes, "pieces follow each other").toBe(end);
      end = piece.offsetBytes + piece.lengthBytes;
      if (piece.source.kind === "hole") continue;
      this.shelf.symbols(piece.source, piece.lengthBytes).forEach((symbol, index) => found.bytes.set(piece.offsetBytes + index, symbol));
    }
    expect(end).toBe(inode.sizeBytes);
    return found.visible();
  }

  #compareSeek(inode: Inode, file: ModelFile): void {
    if (!inode.hasExtents) return;
    const data = [...file.bytes]
      .filter(([offset, symbol]) => symbol !== reservedSymbol && offset < file.sizeBytes)
      .map(([offset]) => offset)
      .toSorted((a, b) => a - b);
    const isData = new Set(data);
    for (const offset of [0, 1, 40, 4096, regionBytes - 1, regionBytes, 3 * regionBytes + 11, file.sizeBytes - 1, file.sizeBytes]) {
      if (offset < 0) continue;
      const isPast = offset >= file.sizeBytes;
      expect(seek(this.world.server, inode, offset, seekData), `data after ${offset}`).toBe(
        isPast ? null : (data.find((at) => at >= offset) ?? null),
      );
      let hole = offset;
      while (isData.has(hole)) hole += 1;
      expect(seek(this.world.server, inode, offset, seekHole), `hole after ${offset}`).toBe(isPast ? null : hole);
    }
  }
}

const number = fc.nat(0xffff);
const draws = fc.array(fc.tuple(number, number, number, number, number, number), { minLength: 1, maxLength: 150, size: "max" });

describe("content and naive bytes", () => {
  for (const isTiny of [false, true]) {
    test(`agree on every byte, and all counters are exact${isTiny ? ", with caches of two records" : ""}`, async () => {
      await fc.assert(
        fc.asyncProperty(draws, fc.nat(20), async (moves, restartEvery) => {
          const game = new Game(isTiny);
          let count = 0;
          for (const move of moves) {
            await game.play(move);
            count += 1;
            if (restartEvery > 3 && count % restartEvery === 0) game.world.restart();
            if (restartEvery === 2 && count % 5 === 0) game.world.client.forget();
            if (count % 10 === 0) game.compare();
            if (count % 25 === 0) await game.world.check();
          }
          game.compare();
          await game.world.check();
          expect(await checkState(game.world.kv, { inodesPerPass: 2, chunksPerPass: 3 }), "small passes").toEqual([]);
        }),
        { numRuns: runs(80) },
      );
    });
  }
});
