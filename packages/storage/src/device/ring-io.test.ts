/**
 * RingIo beyond the conformance suite: bounded queues, ends of processes and workers with work in flight. The engine is the machine's choice.
 */
import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { openDurable, openPlain } from "./io.ts";
import { RingIo } from "./ring-io.ts";

const scratch = fileURLToPath(new URL("../../node_modules/", import.meta.url));
const poolBytes = 8 << 20;
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(`${scratch}ring-io-`);
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

describe.each(["automatic", "threads"] as const)("engine %s", (engine) => {
  test("the queue is bounded: one request too many is AGAIN, all others are done", async () => {
    const io = await RingIo.open({ engine, poolBytes, slots: 2, waitingMax: 3 });
    const file = await io.open(join(folder, `bounded-${engine}`), { ...openDurable, create: true });
    const buffer = io.pool.takeZeroed(4096);
    const outcomes = await Promise.allSettled(Array.from({ length: 7 }, (_, index) => io.write(file, [buffer], index * 4096)));
    expect(outcomes.map((outcome) => outcome.status)).toEqual([...new Array<string>(5).fill("fulfilled"), "rejected", "rejected"]);
    expect(outcomes[5]).toMatchObject({ reason: { code: "AGAIN", message: expect.stringContaining("at 20480") as string } });
    await io.write(file, [buffer], 0);
    await io.shutDown();
    expect((await readFile(join(folder, `bounded-${engine}`))).length).toBe(5 * 4096);
  });

  test("a batch with more words than the border takes goes out in parts", async () => {
    const io = await RingIo.open({ engine, poolBytes });
    const file = await io.open(join(folder, `parts-${engine}`), { ...openPlain, create: true });
    const views = Array.from({ length: 1024 }, (_, index) => new Uint8Array(3).fill(index % 251));
    await Promise.all(Array.from({ length: 20 }, (_, index) => io.write(file, views, index * 3072)));
    await io.shutDown();
    const content = await readFile(join(folder, `parts-${engine}`));
    expect(content.length).toBe(20 * 3072);
    expect(Array.from({ length: content.length }, (_, at) => content[at] === (Math.floor(at / 3) % 1024) % 251).every(Boolean)).toBe(true);
  });

  test("errors carry path, offset, length and errno", async () => {
    const io = await RingIo.open({ engine, poolBytes });
    const path = join(folder, `details-${engine}`);
    const file = await io.open(path, { ...openPlain, create: true });
    await expect(io.punch(file, 0, 0)).rejects.toMatchObject({
      details: { operation: "punch", path, offsetBytes: 0, lengthBytes: 0, errno: 22 },
    });
    await io.shutDown();
    await expect(io.open(path, openPlain)).rejects.toMatchObject({ code: "BAD_HANDLE" });
  });

  test.each(["idle", "exit", "worker"])("a process that ends in the manner of %s with work in flight ends well", (manner) => {
    const program = fileURLToPath(new URL("../../testdata/ring-end.ts", import.meta.url));
    const child = spawnSync(
      process.execPath,
      ["--conditions=cfs-source", program, manner, engine, join(folder, `end-${manner}-${engine}`)],
      {
        encoding: "utf8",
        timeout: 25_000,
      },
    );
    expect(child).toMatchObject({ status: 0, signal: null, stdout: "done\n", stderr: "" });
  });
});

/** A machine that refuses system calls, played by strace(1). */
const hasStrace = spawnSync("strace", ["-o", "/dev/null", "true"]).status === 0;

describe.skipIf(!hasStrace)(`on a machine that refuses (needs strace and ptrace, ${hasStrace ? "there" : "not there"})`, () => {
  test.each([
    ["io_uring_setup:error=ENOSYS", /^threads: 4 threads, because io_uring_setup says: Function not implemented/],
    ["io_uring_setup:error=EPERM", /^threads: 4 threads, because io_uring_setup says: Operation not permitted/],
    ["io_uring_register:error=ENOMEM:when=3+", /^io_uring: .* 0 of 2 regions registered, more is refused, see RLIMIT_MEMLOCK/],
  ])("%s: everything works, and the description says how", (fault, expected) => {
    const program = fileURLToPath(new URL("../../testdata/ring-end.ts", import.meta.url));
    const trace = ["-f", "-qq", "-o", join(folder, "trace"), "-e", "trace=io_uring_setup,io_uring_register", "-e", `inject=${fault}`];
    const node = [process.execPath, "--conditions=cfs-source", program, "describe", "automatic", join(folder, "refused")];
    const child = spawnSync("strace", [...trace, ...node], { encoding: "utf8", timeout: 25_000 });
    expect(child).toMatchObject({ status: 0, stderr: "", stdout: expect.stringMatching(expected) as string });
  });
});

test("an engine that does not exist is refused with what was asked for", async () => {
  await expect(RingIo.open({ slots: 0, poolBytes })).rejects.toMatchObject({
    code: "INVALID",
    message: expect.stringContaining("0 slots") as string,
  });
});
