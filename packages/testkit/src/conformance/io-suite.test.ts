/** The Io conformance suite on every implementation. RingIo on io_uring needs a kernel that allows it and is skipped aloud elsewhere. */
import { mkdtemp, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { describe, expect, test } from "vitest";

import { FaultyIo, MemoryIo, RingIo, seededRandom } from "@cfs/storage";
import type { RingIoOptions } from "@cfs/storage";

import { ioSuite } from "./io-suite.ts";
import type { IoFixture } from "./io-suite.ts";

/** Not the system's temporary directory, which may be a tmpfs: direct I/O should meet a real file system. */
const scratch = fileURLToPath(new URL("../../node_modules/", import.meta.url));

async function ring(options: RingIoOptions): Promise<IoFixture> {
  const directory = await mkdtemp(`${scratch}io-suite-`);
  const io = await RingIo.open({ poolBytes: 32 << 20, ...options });
  return { io, directory, dispose: () => rm(directory, { recursive: true }) };
}

async function memory(): Promise<IoFixture> {
  const io = new MemoryIo({ random: seededRandom(1) }, { poolBytes: 32 << 20 });
  await io.makeDirectory("/data");
  return { io, directory: "/data", dispose: async () => {} };
}

const probe = await RingIo.open({ poolBytes: 4 << 20 });
await probe.shutDown();

if (probe.kind === "io_uring") {
  ioSuite("RingIo on io_uring", () => ring({ engine: "io_uring" }));
  ioSuite("RingIo on io_uring with four slots", () => ring({ engine: "io_uring", slots: 4 }));
} else {
  // Not run where the kernel refuses io_uring (a container's seccomp rules, kernel.io_uring_disabled): there is nothing to test there. The title says why, and threads are tested below.
  describe.skip(`RingIo on io_uring: ${probe.description}`, () => {});
}
ioSuite("RingIo on threads", () => ring({ engine: "threads", slots: 16 }));
ioSuite("MemoryIo", memory);
ioSuite("FaultyIo without rules", async () => {
  const fixture = await memory();
  return { ...fixture, io: new FaultyIo({ io: fixture.io }) };
});

test("the engine that was asked for is the one that runs", async () => {
  const io = await RingIo.open({ engine: "threads", poolBytes: 4 << 20 });
  expect(io.kind).toBe("threads");
  expect(io.description).toContain("asked for");
  await io.shutDown();
});
