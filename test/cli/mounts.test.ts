/**
 * Mounts as a user meets them when things are not as usual: links to the mount point, a mount in use, one whose process died, one of another user, and
 * a drive inside a mount. Needs root and /dev/fuse.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Cluster, programArguments } from "@cfs/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { whySkipped } from "../settings.ts";

const isSkipped = whySkipped("cfs mount and umount in trouble") !== null;
let cluster: Cluster;

beforeAll(async () => {
  if (!isSkipped) cluster = await Cluster.start({ drives: 1 });
});
afterAll(() => cluster?.destroy());

interface Reported {
  readonly mountpoint: string;
  readonly answer: string;
  readonly status: { readonly state: string } | null;
  readonly ownerUid: number | null;
  readonly readOnly: boolean;
}

async function reported(mountpoint: string, run = (args: string[]) => cluster.cfs(args)): Promise<Reported | undefined> {
  const { stdout } = await run(["status", "--json", "--server", cluster.address]);
  const { mounts } = JSON.parse(stdout) as { readonly mounts: readonly Reported[] };
  return mounts.find((mount) => mount.mountpoint === mountpoint);
}

test.skipIf(isSkipped)("a mount point may be named by a link, with blanks, line ends and letters of all kinds in its name", async () => {
  const path = join(cluster.base, "my mount\n\\ü'\"$");
  const link = join(cluster.base, "link");
  mkdirSync(path);
  symlinkSync(path, link);
  expect(await cluster.cfs(["mount", "--server", cluster.address, link])).toMatchObject({ code: 0, stderr: "" });
  expect(await reported(path)).toMatchObject({ answer: "answers" });
  expect((await cluster.cfs(["mount", "--server", cluster.address, path])).stderr).toMatch(
    /^cfs: BUSY: .*my mount\\n\\ü'"\$ is already mounted from 127.*\n.*\n$/,
  );
  writeFileSync(join(link, "file"), "content");
  mkdirSync(join(link, "dir"));
  const inside = await cluster.cfs(["umount", join(link, "dir")]);
  expect([inside.code, inside.stderr]).toEqual([1, expect.stringMatching(/INVALID: .*dir is inside the mount at .*\n.*cfs umount/s)]);
  expect(await cluster.cfs(["umount", link])).toMatchObject({ code: 0, stderr: "" });
  expect(readdirSync(path)).toEqual([]);
});

test.skipIf(isSkipped)("what a mount would hide or could not write is told before anything is mounted", async () => {
  const path = join(cluster.base, "plain");
  mkdirSync(path);
  const cases: [string[], RegExp][] = [
    [[cluster.base], /INVALID: .* holds the drive .*d1 of this server/],
    [["/"], /INVALID: \/ holds the cfs program itself/],
    [["--log", join(path, "log"), path], /INVALID: the log file .* is inside the mount/],
    [["--log", cluster.base, path], /IS_DIRECTORY: the log file .* cannot be opened/],
    [["--log", join(cluster.base, "none/log"), path], /NOT_FOUND: the log file .* cannot be opened/],
  ];
  for (const [args, pattern] of cases) {
    const { code, stderr } = await cluster.cfs(["mount", "--server", cluster.address, ...args]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(pattern)]);
    expect(stderr.trimEnd().split("\n").length).toBeLessThanOrEqual(2);
  }
  expect(readFileSync("/proc/self/mounts", "utf8")).not.toContain(`${cluster.base} `);
  expect(readdirSync(path)).toEqual([]);
});

test.skipIf(isSkipped)(
  "after a fall of server and mount, as of a machine that holds both, a new mount waits for the place of the old one",
  async () => {
    const mount = await cluster.mount({ name: "fallen" });
    await mount.kill9();
    await cluster.kill9Server();
    await mount.detach();
    await cluster.startServer();
    expect(await cluster.cfs(["mount", "--server", cluster.address, mount.path])).toMatchObject({ code: 0, stderr: "" });
    await cluster.cfsMust(["umount", mount.path]);
  },
);

test.skipIf(isSkipped)("the mount helper: ro stays ro, and what is rw goes to ro and back; status says what holds now", async () => {
  const path = join(cluster.base, "helper");
  mkdirSync(path);
  const helper = (options: string) => cluster.cfs(["mount-helper", cluster.address, path, "-o", options]);
  expect(await helper("ro,noatime")).toMatchObject({ code: 0, stdout: "", stderr: "" });
  expect(await reported(path)).toMatchObject({ readOnly: true });
  const refused = await helper("remount,rw");
  expect([refused.code, refused.stderr]).toEqual([
    1,
    expect.stringMatching(/^cfs: READ_ONLY: .* cannot be remounted for writing\n {2}.*umount/),
  ]);
  expect((await cluster.cfs(["umount", path])).code).toBe(0);
  expect((await helper("uid=1000,gid=1001")).code).toBe(0);
  writeFileSync(join(path, "mapped"), "");
  expect(statSync(join(path, "mapped"))).toMatchObject({ uid: 1000, gid: 1001 });
  expect((await helper("remount,ro")).code).toBe(0);
  expect(await reported(path)).toMatchObject({ readOnly: true });
  expect(() => writeFileSync(join(path, "mapped"), "x")).toThrow(/EROFS/);
  expect((await helper("remount,rw")).code).toBe(0);
  writeFileSync(join(path, "mapped"), "x");
  expect((await cluster.cfs(["umount", path])).code).toBe(0);
});

test.skipIf(isSkipped)("umount of a mount in use names who uses it, and the mount goes on", async () => {
  const mount = await cluster.mount({ name: "busy" });
  const file = await open(join(mount.path, "held open"), "w");
  const busy = await cluster.cfs(["umount", mount.path]);
  expect(busy.code).toBe(1);
  expect(busy.stderr).toMatch(
    /^cfs: BUSY: .*busy cannot be unmounted: it is used by \S.* \(process \d+, open file .*\/held open\)\n {2}.*umount --lazy/,
  );
  expect(busy.stderr).toContain(`(process ${process.pid},`);
  expect(await reported(mount.path)).toMatchObject({ answer: "answers" });
  await file.close();
  await mount.umount();
});

test.skipIf(isSkipped)(
  "a mount whose process died is told as dead, refuses another mount with the cure, and leaves no socket behind",
  async () => {
    const mount = await cluster.mount({ name: "dead" });
    const sockets = (): number => readdirSync("/run/cfs").length;
    const before = sockets();
    await mount.kill9();
    expect(await reported(mount.path)).toMatchObject({ answer: "dead" });
    expect((await cluster.cfs(["status", "--server", cluster.address])).stdout).toContain(`cfs umount --lazy ${mount.path}`);
    const again = await cluster.cfs(["mount", "--server", cluster.address, mount.path]);
    expect([again.code, again.stderr]).toEqual([
      1,
      expect.stringMatching(/^cfs: BUSY: .*dead holds a mount of .* whose process has ended\n {2}take it away.*: cfs umount --lazy/),
    ]);
    expect(await cluster.cfs(["umount", "--lazy", mount.path])).toMatchObject({ code: 0, stderr: "" });
    const other = await cluster.mount({ name: "after" });
    expect(sockets()).toBeLessThanOrEqual(before);
    await other.umount();
  },
);

test.skipIf(isSkipped)("status of another user does not call a mount dead that it may not see", async () => {
  const asNobody = (args: string[]) =>
    cluster.run("setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", process.execPath, ...programArguments(args)]);
  if ((await asNobody(["version"])).code !== 0) return console.warn("not tested: nobody may not read this checkout");
  const mount = await cluster.mount({ name: "others" });
  expect(await reported(mount.path, asNobody)).toMatchObject({ answer: "hidden", ownerUid: 0 });
  expect((await asNobody(["status", "--server", cluster.address])).stdout).toContain(`mount ${mount.path}  not visible`);
  await mount.umount();
});

test.skipIf(isSkipped)("a drive inside a mount is refused, also while the server of that mount is away", async () => {
  const mount = await cluster.mount({ name: "home" });
  const drive = join(mount.path, "drive");
  await mkdir(drive);
  const added = await cluster.cfs(["admin", "drive", "add", drive, "--server", cluster.address]);
  expect([added.code, added.stderr]).toEqual([1, expect.stringMatching(/INVALID: .*drive is inside the cfs mount at .*home;/)]);
  expect(await cluster.stopServer()).toBe(0);
  const link = join(cluster.base, "link to drive");
  symlinkSync(drive, link);
  for (const path of [drive, link]) {
    const started = await cluster.cfs(["server", "start", "--data", path, "--listen", "127.0.0.1:0"], 20_000);
    expect([started.code, started.stderr]).toEqual([1, expect.stringMatching(/^cfs: INVALID: .* is inside the cfs mount at .*home;/)]);
  }
  rmSync(link);
  await cluster.startServer();
  await mount.umount();
});

test.skipIf(isSkipped)("umount while the server is away says so, can be given up, and goes on when the server is back", async () => {
  const mount = await cluster.mount({ name: "away" });
  await writeFile(join(mount.path, "file"), "content");
  expect(await cluster.stopServer()).toBe(0);
  await expect.poll(async () => (await reported(mount.path))?.status?.state, { timeout: 20_000 }).toBe("waiting");
  const late = await cluster.cfs(["umount", "--timeout", "1s", mount.path]);
  expect([late.code, late.stderr]).toEqual([
    1,
    expect.stringMatching(/has been away for .* waiting for it.*\ncfs: TIMED_OUT: .*\n {2}start the server/),
  ]);
  const given = spawn(process.execPath, programArguments(["umount", mount.path]), {
    stdio: ["ignore", "ignore", "pipe"],
    env: cluster.environment,
  });
  await once(given.stderr, "data");
  given.kill("SIGINT");
  expect(await once(given, "exit")).toEqual([130, null]);
  expect(mount.isMounted).toBe(true);
  const going = cluster.cfs(["umount", mount.path]);
  await cluster.startServer();
  expect((await going).code).toBe(0);
  expect(mount.isMounted).toBe(false);
});

test.skipIf(isSkipped)("a mount that waits for the session of one that was killed is starting, not dead", async () => {
  const killed = await cluster.mount({ name: "killed" });
  await killed.kill9();
  await killed.detach();
  const next = cluster.mount({ name: "next" });
  const path = join(cluster.base, "next");
  const seen = new Set<string | undefined>();
  let isSettled = false;
  const settled = next.then(
    () => void (isSettled = true),
    () => void (isSettled = true),
  );
  while (!isSettled) {
    const report = await reported(path);
    seen.add(report === undefined ? undefined : `${report.answer} ${report.status?.state}`);
  }
  await settled;
  seen.delete(undefined);
  expect([...seen].filter((word) => word !== "answers starting" && word !== "answers connected")).toEqual([]);
  expect(seen).toContain("answers starting");
  await (await next).umount();
});

test.skipIf(isSkipped)("admin shutdown returns when port and drives are free", async () => {
  const pid = cluster.serverPid;
  expect(await cluster.cfs(["admin", "shutdown", "--server", cluster.address])).toMatchObject({
    code: 0,
    stdout: `${cluster.address} has stopped\n`,
  });
  const isGone = !existsSync(`/proc/${pid}`) || /\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  expect(isGone).toBe(true);
  const start = cluster.cfs(["admin", "shutdown", "--server", cluster.address]);
  expect((await start).stderr).toMatch(/^cfs: UNREACHABLE/);
});
