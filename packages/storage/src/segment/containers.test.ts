import { silentLogger } from "@cfs/core";
import { expect, test } from "vitest";
import { FaultyIo } from "../device/faulty-io.ts";
import { MemoryIo } from "../device/memory-io.ts";
import { seededRandom } from "../device/seeded-random.ts";
import { Containers, containerBytes, containerName } from "./containers.ts";
import { nativeCodec } from "./native-codec.ts";
import { SegmentStore } from "./segment-store.ts";

const clusterId = "00112233445566778899aabbccddeeff";
const fragmentBytes = 512 << 10;

async function started(): Promise<{ io: FaultyIo; containers: Containers }> {
  const io = new FaultyIo({ io: new MemoryIo({ random: seededRandom(1) }) });
  await io.makeDirectory("/d");
  return { io, containers: await Containers.open(io, { index: 0, directory: "/d" }) };
}

test("a drive without room for a whole container gets a smaller one", async () => {
  const { io, containers } = await started();
  io.setRules([{ on: "allocate", nth: 1, fail: "NO_SPACE" }]);
  const count = containerBytes / 2 / fragmentBytes;
  const places = [];
  for (let index = 0; index <= count; index++) places.push(await containers.allocate(fragmentBytes));
  expect(places.map(({ container }) => container)).toEqual([...Array.from({ length: count }, () => 1), 2]);
});

test("a full drive is told as full, is not counted as failed, and leaves no container behind", async () => {
  const { io, containers } = await started();
  io.setRules([{ on: "allocate", fail: "NO_SPACE" }]);
  const store = new SegmentStore({ pool: io.pool, codec: nativeCodec, logger: silentLogger, clusterId });
  const failed: number[] = [];
  store.onDriveFailed = (drive) => failed.push(drive);
  store.addDrive(containers);
  await expect(store.write(7, 1, 0, fragmentBytes, io.pool.take(fragmentBytes + 4096))).rejects.toThrow(
    /NO_SPACE: segment 7: 1 of 1 .*1 drives are full/,
  );
  expect(failed).toEqual([]);
  expect(await io.list("/d/segments")).not.toContain(containerName(1));
});
