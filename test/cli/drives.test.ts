/**
 * A server and its drives, as an operator sees them: status, scrub, fsck, drives that vanish, are added, replaced and removed, restarts.
 * Needs root and /dev/fuse for the data; skips aloud where they are missing.
 */
import { createHash, randomBytes } from "node:crypto";
import {
  accessSync,
  mkdirSync,
  openSync,
  closeSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
  fsyncSync,
} from "node:fs";
import type { StatusReply } from "@cfs/rpc";
import type { NodeDetails } from "@cfs/server";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cfs, cfsJson, Place, type Server } from "./cfs-process.ts";

function canMount(): boolean {
  try {
    accessSync("/dev/fuse");
    return process.getuid?.() === 0;
  } catch {
    console.warn("skipped: there is no /dev/fuse");
    return false;
  }
}

const content = randomBytes(24 << 20);
const names = ["d1", "d2", "d3", "d4", "d5", "d6"];

describeWithMount();

function describeWithMount(): void {
  const place = new Place();
  let server: Server;
  let drives: string[] = [];
  let mountpoint = "";

  beforeAll(async () => {
    if (!canMount()) return;
    drives = place.directories(...names);
    [mountpoint] = place.directories("mnt") as [string];
    server = await place.serve(drives);
    expect(cfs(["mount", mountpoint], server.address)).toMatchObject({ code: 0, err: "" });
    mkdirSync(`${mountpoint}/docs/2026`, { recursive: true });
    writeSynced(`${mountpoint}/docs/2026/big file.bin`, content);
  });

  afterAll(async () => {
    if (mountpoint !== "") cfs(["umount", "--lazy", mountpoint]);
    await place.dispose();
  });

  const online = (): StatusReply => cfsJson<StatusReply>(["admin", "status"], server.address);
  const details = (): NodeDetails => online().details as unknown as NodeDetails;
  /** Of this test's mount; the machine may have others. */
  const mountState = (): string | undefined => {
    const { mounts } = cfsJson<{ mounts: { mountpoint: string; status: { state: string } | null }[] }>(["status"], server.address);
    return mounts.find((mount) => mount.mountpoint === mountpoint)?.status?.state;
  };
  const hash = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
  const expectWhole = (): void => {
    expect(hash(readFileSync(`${mountpoint}/docs/2026/big file.bin`))).toBe(hash(content));
  };

  test.skipIf(!canMount())("status is healthy, and the parts of the space add up to the whole", () => {
    expect(mountState()).toBe("connected");
    const status = online();
    expect(status.drives.map(({ state }) => state)).toEqual(names.map(() => "DRIVE_ONLINE"));
    const { space, layout, sessions } = details();
    expect(layout).toEqual({ k: 4, m: 2 });
    expect(sessions).toMatchObject([{ mountpoint, isConnected: true }]);
    const { liveBytes, deadBytes, parityBytes, journalBytes, stateBytes, otherBytes, absentBytes } = space;
    const usedBytes = liveBytes + deadBytes + parityBytes + journalBytes + stateBytes + otherBytes - absentBytes;
    expect(usedBytes + space.preparedBytes + space.reserveBytes + space.freeBytes).toBe(space.rawTotalBytes);
    expect(liveBytes).toBeGreaterThanOrEqual(content.length);
  });

  test.skipIf(!canMount())("metrics and health are served over HTTP", async () => {
    const text = await (await fetch(`http://${server.http}/metrics`)).text();
    expect(text).toMatch(/^cfs_operations_total\{kind="makeNode"\} [1-9]/m);
    expect(text).toMatch(/^cfs_written_bytes_total 25165824$/m);
    expect(text).toMatch(/^cfs_journal_sync_seconds_count [1-9]/m);
    expect(text).toMatch(/^cfs_drive_up\{.*\} 1$/m);
    const health = await fetch(`http://${server.http}/healthz`);
    expect(health.status).toBe(200);
    expect(await health.json()).toEqual({ status: "ok", warnings: [] });
  });

  test.skipIf(!canMount())("scrub finds flipped bits, repairs them and names the file; fsck is clean", () => {
    expect(cfs(["fsck"], server.address)).toMatchObject({ code: 0, out: expect.stringContaining("clean") as string });
    flipBits(`${drives[1] ?? ""}/segments`);
    const found = cfs(["admin", "scrub"], server.address);
    expect(found).toMatchObject({ code: 0, err: "" });
    expect(found.out).toMatch(/on drive [0-9a-f]{8} \(.*d2\): .*; repaired; holds parts of \/docs\/2026\/big file\.bin/);
    expect(cfs(["admin", "scrub"], server.address).out).toContain("all are right");
    expect(
      cfsJson<{ drives: { checksumErrors: number }[] }>(["admin", "drive", "list"], server.address).drives[1]?.checksumErrors,
    ).toBeGreaterThan(0);
    expectWhole();
  });

  test.skipIf(!canMount())("a drive that vanishes is told, reads and writes go on, and a new one takes its place", async () => {
    rmSync(drives[2] as string, { recursive: true });
    await expect.poll(() => online().drives[2]?.state, { timeout: 20_000 }).toBe("DRIVE_FAILED");
    expect(cfs(["admin", "status"], server.address)).toMatchObject({
      code: 3,
      out: expect.stringContaining("replace it: cfs admin drive replace") as string,
    });
    writeSynced(`${mountpoint}/docs/meanwhile`, content.subarray(0, 3 << 20));
    expectWhole();
    const [fresh] = place.directories("d7") as [string];
    const replaced = cfs(["admin", "drive", "replace", drives[2] as string, fresh], server.address);
    expect(replaced).toMatchObject({ code: 0, out: expect.stringContaining("everything is redundant again") as string });
    expect(cfs(["admin", "status"], server.address).code).toBe(0);
    expect(cfs(["fsck"], server.address).code).toBe(0);
  });

  test.skipIf(!canMount())("a drive that comes back in its own place is no new one, and is there after a restart", async () => {
    const [, second] = drives as [string, string];
    renameSync(second, `${second}.away`);
    await expect.poll(() => online().drives.find(({ path }) => path === second)?.state, { timeout: 20_000 }).toBe("DRIVE_FAILED");
    renameSync(`${second}.away`, second);
    const back = cfs(["admin", "drive", "replace", second, second], server.address);
    expect(back).toMatchObject({ code: 0, out: expect.stringContaining("is back in service") as string });
    await expect.poll(() => cfs(["admin", "status"], server.address).code, { timeout: 20_000 }).toBe(0);
    expect(details().repair.moves).toEqual([]);
    expect(cfs(["fsck"], server.address).code).toBe(0);
  });

  test.skipIf(!canMount())("a restart with the old flags finds the drives as they are now", async () => {
    expect(await server.stop("SIGKILL")).toBeNull();
    const port = server.address;
    server = await place.serve(drives, ["--listen", port]);
    expect(online().drives.map(({ path, state }) => [path.slice(-2), state])).toEqual(
      ["d1", "d2", "d4", "d5", "d6", "d7"].map((name) => [name, "DRIVE_ONLINE"]),
    );
    await expect.poll(mountState, { timeout: 20_000 }).toBe("connected");
    expectWhole();
  });

  test.skipIf(!canMount())("a drive is emptied only when the others can hold its part", () => {
    const refused = cfs(["admin", "drive", "remove", drives[3] as string], server.address);
    expect(refused).toMatchObject({
      code: 1,
      err: expect.stringContaining("data is stored 4+2, which needs 6 drives, and 5 would be left") as string,
    });
    const [more] = place.directories("d8") as [string];
    expect(cfs(["admin", "drive", "add", more], server.address).code).toBe(0);
    const removed = cfs(["admin", "drive", "remove", drives[3] as string], server.address);
    expect(removed).toMatchObject({ code: 0, out: expect.stringContaining("holds nothing any more") as string });
    expect(online().drives.map(({ path }) => path.slice(-2))).toEqual(["d1", "d2", "d5", "d6", "d7", "d8"]);
    expectWhole();
    expect(cfs(["admin", "scrub"], server.address)).toMatchObject({ code: 0, out: expect.stringContaining("all are right") as string });
    expect(cfs(["admin", "drive", "add", "/etc"], server.address).err).toMatch(/NOT_EMPTY: .*\/etc is not empty/);
    expect(cfs(["admin", "drive", "remove", "abcdef01"], server.address).err).toMatch(/NOT_FOUND: .*there is no drive "abcdef01"/);
  });

  test.skipIf(!canMount())("with two drives gone the server starts degraded and everything can be read", async () => {
    await server.stop("SIGTERM");
    for (const name of ["d1", "d5"]) rmSync(place.path(name), { recursive: true });
    const refused = cfs([
      "server",
      "start",
      ...["d1", "d2", "d5", "d6"].flatMap((name) => ["--data", place.path(name)]),
      "--listen",
      server.address,
    ]);
    expect(refused.err).toMatch(/^cfs: NOT_FOUND: .*d1 does not exist.*\n {2}.*--degraded/);
    server = await place.serve([place.path("d2"), place.path("d6")], ["--listen", server.address, "--degraded"]);
    expect(online().drives.map(({ path, state }) => [path.slice(-2), state])).toEqual([
      ["d1", "DRIVE_MISSING"],
      ["d2", "DRIVE_ONLINE"],
      ["d5", "DRIVE_MISSING"],
      ["d6", "DRIVE_ONLINE"],
      ["d7", "DRIVE_ONLINE"],
      ["d8", "DRIVE_ONLINE"],
    ]);
    await expect.poll(mountState, { timeout: 20_000 }).toBe("connected");
    expectWhole();
    const fresh = place.directories("d9", "d10");
    // The first new drive takes one of the two fragments that each segment lacks; whether that was the replaced drive's, nobody decides.
    expect(cfs(["admin", "drive", "replace", place.path("d1"), fresh[0] ?? ""], server.address).code).toBeOneOf([0, 3]);
    expect(cfs(["admin", "status"], server.address)).toMatchObject({
      code: 3,
      out: expect.stringContaining("fragments are missing and no drive is free") as string,
    });
    expect(cfs(["admin", "drive", "replace", place.path("d5"), fresh[1] ?? ""], server.address)).toMatchObject({ code: 0, err: "" });
    await expect.poll(() => details().repair.moves, { timeout: 20_000 }).toEqual([]);
    expect(cfs(["admin", "status"], server.address).code).toBe(0);
    expectWhole();
    expect(cfs(["fsck"], server.address).code).toBe(0);
  });

  test.skipIf(!canMount())("shutdown ends the server cleanly", async () => {
    expect(cfs(["umount", mountpoint])).toMatchObject({ code: 0, err: "" });
    const ended = new Promise((resolve) => {
      server.process.once("exit", resolve);
    });
    expect(cfs(["admin", "shutdown"], server.address).code).toBe(0);
    expect(await ended).toBe(0);
    expect(cfs(["status"], server.address).code).toBe(3);
  });
}

function writeSynced(path: string, bytes: Buffer): void {
  const file = openSync(path, "w");
  try {
    for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** One bit in a header and one in a payload of the first container. */
function flipBits(folder: string): void {
  const [name] = readdirSync(folder);
  const file = openSync(`${folder}/${name ?? ""}`, "r+");
  const byte = Buffer.alloc(1);
  for (const at of [10, 4096 * 40 + 5]) {
    readSync(file, byte, 0, 1, at);
    writeSync(file, Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, at);
  }
  fsyncSync(file);
  closeSync(file);
}
