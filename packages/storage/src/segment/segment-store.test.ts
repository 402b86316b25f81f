import { randomFillSync } from "node:crypto";
import { silentLogger } from "@cfs/core";
import type { SegmentId } from "@cfs/core";
import type { Segment } from "@cfs/metadata";
import { beforeEach, describe, expect, test } from "vitest";
import { MemoryIo } from "../device/memory-io.ts";
import { seededRandom } from "../device/seeded-random.ts";
import { readSegmentTable } from "./chunk-table.ts";
import { Containers, containerName } from "./containers.ts";
import { nativeCodec } from "./native-codec.ts";
import { decodeOrigin, NativePacker } from "./native-packer.ts";
import { layoutFor } from "./placement.ts";
import { SegmentStore } from "./segment-store.ts";
import type { Damage, StoredRange } from "./segment-store.ts";

const clusterId = "00112233445566778899aabbccddeeff";

class Node {
  readonly io: MemoryIo;
  readonly store: SegmentStore;
  readonly packer: NativePacker;
  readonly damages: Damage[] = [];

  constructor(io: MemoryIo) {
    this.io = io;
    this.store = new SegmentStore({ pool: io.pool, codec: nativeCodec, logger: silentLogger, clusterId });
    this.packer = new NativePacker(io.pool, clusterId);
    this.store.onDamage = (damage) => this.damages.push(damage);
  }

  static async start(driveCount: number): Promise<Node> {
    const node = new Node(new MemoryIo({ random: seededRandom(1) }));
    for (let drive = 0; drive < driveCount; drive++) {
      await node.io.makeDirectory(`/d${drive}`);
      node.store.addDrive(await Containers.open(node.io, { index: drive, directory: `/d${drive}` }));
    }
    return node;
  }

  async put(id: number, bytes: Uint8Array): Promise<Segment> {
    const layout = layoutFor(this.store.driveIndexes.length) as { k: number; m: number };
    const packed = await this.packer.pack([{ views: [bytes], lengthBytes: bytes.length, ino: 65_537, offsetBytes: 8192 }], {
      id,
      generation: 1,
      ...layout,
    });
    const places = await this.store.write(id, layout.k, layout.m, packed.fragmentBytes, packed.fragments);
    this.io.pool.give(packed.fragments);
    const chunks = packed.chunks.map(({ storedOffsetBytes, storedBytes, rawBytes, codec }) => ({
      storedOffsetBytes,
      storedBytes,
      rawBytes,
      codec,
      refs: 1,
      extentBytes: rawBytes,
    }));
    return {
      id: id as SegmentId,
      generation: 1,
      ...layout,
      fragmentBytes: packed.fragmentBytes,
      segmentBytes: packed.segmentBytes,
      places,
      chunks,
      liveBytes: 1,
      isShared: false,
    };
  }

  /** The bytes of all chunks, in order. */
  async get(segment: Segment): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (const { storedOffsetBytes, storedBytes } of segment.chunks)
      parts.push(take(await this.store.read(segment, storedOffsetBytes, storedBytes)));
    return Buffer.concat(parts);
  }

  async flip(segment: Segment, fragment: number, at: number): Promise<void> {
    const { drive, container, offsetBytes } = segment.places[fragment] as Segment["places"][number];
    const file = await this.io.open(`/d${drive}/segments/${containerName(container)}`, {
      direct: false,
      dataSync: false,
      create: false,
      exclusive: false,
      readOnly: false,
    });
    const byte = new Uint8Array(1);
    await this.io.read(file, byte, offsetBytes + at);
    byte[0] = (byte[0] as number) ^ 0x10;
    await this.io.write(file, [byte], offsetBytes + at);
    await this.io.close(file);
  }
}

function take(range: StoredRange): Buffer {
  const copy = Buffer.concat(range.parts);
  range.release();
  return copy;
}

let bytes: Uint8Array;
let node: Node;

beforeEach(async () => {
  bytes = randomFillSync(new Uint8Array(700_000));
  node = await Node.start(6);
});

describe("six drives", () => {
  test("what was stored is read back, whole and in parts, and memory is given back", async () => {
    const segment = await node.put(7, bytes);
    expect({ k: segment.k, m: segment.m }).toEqual({ k: 4, m: 2 });
    expect(new Set(segment.places.map(({ drive }) => drive)).size).toBe(6);
    expect((await node.get(segment)).equals(bytes)).toBe(true);
    const chunk = segment.chunks[1] as Segment["chunks"][number];
    const inner = take(await node.store.read(segment, chunk.storedOffsetBytes + 100, 5_000));
    const begin = segment.chunks[0]?.rawBytes as number;
    expect(inner.equals(bytes.subarray(begin + 100, begin + 5_100))).toBe(true);
    node.io.pool.assertNoLeak();
  });

  test("any two drives can be gone", async () => {
    const segment = await node.put(7, bytes);
    for (let first = 0; first < 6; first++) {
      for (let second = first + 1; second < 6; second++) {
        const gone = [first, second].map((drive) => [drive, node.store.removeDrive(drive) as Containers] as const);
        expect((await node.get(segment)).equals(bytes)).toBe(true);
        for (const [, containers] of gone) node.store.addDrive(containers);
      }
    }
    node.io.pool.assertNoLeak();
  });

  test("with three drives gone a read says so and gives memory back", async () => {
    const segment = await node.put(7, bytes);
    for (const drive of [0, 1, 2]) node.store.removeDrive(drive);
    await expect(node.get(segment)).rejects.toMatchObject({ code: "IO" });
    node.io.pool.assertNoLeak();
  });

  test("a flipped bit in a header or a payload is never served, is reported, and repaired", async () => {
    const segment = await node.put(7, bytes);
    for (const at of [3, 130, 4_000, 4_096, 50_000, segment.fragmentBytes + 4_000]) {
      const fresh = new Node(node.io);
      for (const drive of node.store.driveIndexes) fresh.store.addDrive(node.store.containersOf(drive) as Containers);
      const fragment = at % segment.k;
      await node.flip(segment, fragment, at);
      expect((await fresh.get(segment)).equals(bytes)).toBe(true);
      if (at <= segment.segmentBytes / segment.k) expect(fresh.damages.some((damage) => damage.fragment === fragment)).toBe(true);
      const place = await fresh.store.repair(segment, fragment);
      segment.places[fragment] = place as NonNullable<typeof place>;
    }
    node.io.pool.assertNoLeak();
  });

  test("a repaired fragment is as good as the first one", async () => {
    const segment = await node.put(7, bytes);
    for (let fragment = 0; fragment < 6; fragment++)
      segment.places[fragment] = (await node.store.repair(segment, fragment)) as Segment["places"][number];
    for (const drive of [1, 4]) node.store.removeDrive(drive);
    expect((await node.get(segment)).equals(bytes)).toBe(true);
    node.io.pool.assertNoLeak();
  });

  test("a fragment of another segment at the right place is not served", async () => {
    const segment = await node.put(7, bytes);
    const other = await node.put(8, randomFillSync(new Uint8Array(700_000)));
    const mixed: Segment = {
      ...segment,
      places: segment.places.map((place, index) => (index === 1 ? (other.places[1] as typeof place) : place)),
    };
    expect((await node.get(mixed)).equals(bytes)).toBe(true);
    expect(node.damages.length).toBeGreaterThan(0);
  });

  test("the chunk table says whose bytes they are", async () => {
    const segment = await node.put(7, bytes);
    const [piece] = (await readSegmentTable(node.store, segment)).pieces;
    expect(piece?.chunks.map(({ rawBytes }) => rawBytes)).toEqual(segment.chunks.map(({ rawBytes }) => rawBytes));
    expect(decodeOrigin(piece?.origin as Uint8Array)).toEqual({ ino: 65_537, offsetBytes: 8192 });
    node.io.pool.assertNoLeak();
  });

  test("freed fragments are gone", async () => {
    const segment = await node.put(7, bytes);
    await node.store.freeAll(segment);
    await expect(node.get(segment)).rejects.toMatchObject({ code: "IO" });
  });
});

test.each([1, 2, 3, 5])("%i drives: stored and read back", async (count) => {
  node = await Node.start(count);
  const segment = await node.put(3, bytes);
  expect((await node.get(segment)).equals(bytes)).toBe(true);
});
