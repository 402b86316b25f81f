/** A real kernel mount over a small file system in memory. Needs root and /dev/fuse; skips aloud without. */
import { execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, fstatSync, mkdtempSync, openSync, readSync, rmdirSync, statSync, writeSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { CfsError, type InodeNumber, type Name, rootInode, silentLogger, systemClock } from "@cfs/core";
import { type FuseMount, FuseSession, mountFuse } from "@cfs/gateways/fuse";
import { TreeVfs, type TreeVfsOptions } from "@cfs/gateways/fuse/testing";
import { FuseDevice, fuseMount, fuseUnmount } from "@cfs/native";
import { describe, expect, test } from "vitest";
import { Served, whyNoFuse } from "./mount-harness.ts";

/** Never spawnSync for what touches a mount of this very process: its event loop has to answer. */
const run = promisify(execFile);
const reason = whyNoFuse();
if (reason !== null) console.warn(`FUSE mounts are not tested: ${reason}`);

describe.skipIf(reason !== null).each([
  ["answers at once", {}],
  ["answers by promises", { isAsync: true }],
  ["writeback cache", { mount: { writebackCache: true } }],
])("a mount, %s", (_, options) => {
  test("names, attributes and data come back as they were put in", async () => {
    await using served = await Served.start(options);
    expect(await served.shell("findmnt -no FSTYPE,SOURCE .")).toMatch(/^fuse\.cfs\s+cfs-test$/);
    expect(await served.shell("mkdir d; echo hello > d/a; ln d/a d/b; ln -s a d/s; cat d/b; readlink d/s; stat -c %h d/a")).toBe(
      "hello\na\n2",
    );
    expect(await served.shell("mv d/a d/c; ls -A d; rm d/c d/b d/s; rmdir d; ls -A")).toBe("b\nc\ns");
    expect(await served.shell("touch f; chmod 640 f; chown 5:6 f; truncate -s 4097 f; stat -c '%a %u %g %s' f")).toBe("640 5 6 4097");
    expect(await served.shell("setfattr -n user.x -v abc f; getfattr --only-values -n user.x f")).toBe("abc");
    expect(await served.shell("mknod c c 300 70000; stat -c '%t %T' c; mkfifo p; stat -c %F p")).toBe("12c 11170\nfifo");
  });

  test("20 MiB written and copied are the same bytes, cached and uncached", async () => {
    await using served = await Served.start(options);
    await served.shell("dd if=/dev/urandom of=a bs=1M count=20 status=none; cp a b; dd if=a of=c bs=1M oflag=direct status=none");
    const sums = await served.shell(
      "echo 1 > /proc/sys/vm/drop_caches; md5sum < a; md5sum < b; md5sum < c; dd if=c bs=64k iflag=direct status=none | md5sum",
    );
    expect(new Set(sums.split("\n")).size).toBe(1);
  });

  test("3,000 names in a directory are listed once each, and 255 bytes of name are allowed", async () => {
    await using served = await Served.start(options);
    await served.shell("mkdir d; cd d; for i in $(seq 3000); do : > file-number-$i; done");
    expect(await served.shell("ls d | sort -u | wc -l; ls -l d | wc -l")).toBe("3000\n3001");
    expect(await served.shell(`name=$(printf 'n%.0s' $(seq 255)); touch $name; ls | wc -c; touch n$name 2>&1 || true`)).toMatch(
      /^258\n.*name too long/i,
    );
  });

  test("an unnamed file and a removed open file live on", async () => {
    await using served = await Served.start(options);
    const removed = openSync(join(served.mountpoint, "gone"), "w+");
    await served.shell("rm gone");
    const unnamed = openSync(served.mountpoint, 0o20200000 | constants.O_RDWR, 0o600);
    for (const fd of [removed, unnamed]) {
      writeSync(fd, "still here");
      const bytes = Buffer.alloc(10);
      readSync(fd, bytes, 0, 10, 0);
      expect([bytes.toString(), fstatSync(fd).nlink]).toEqual(["still here", 0]);
      closeSync(fd);
    }
  });
});

describe.skipIf(reason !== null)("the life of a mount", () => {
  test("unmounting by the system ends the process cleanly", async () => {
    await using served = await Served.start();
    expect(spawnSync("umount", [served.mountpoint]).status).toBe(0);
    expect(await served.exited).toBe(0);
    expect(served.isMounted).toBe(false);
  });

  test("SIGTERM unmounts", async () => {
    await using served = await Served.start();
    served.process.kill("SIGTERM");
    expect(await served.exited).toBe(0);
    expect(served.isMounted).toBe(false);
  });

  test("a killed process leaves a mount that fails at once and can be removed", async () => {
    await using served = await Served.start();
    await served.shell("echo x > f");
    const fd = openSync(join(served.mountpoint, "f"), "r");
    served.process.kill("SIGKILL");
    await served.exited;
    expect(() => statSync(join(served.mountpoint, "other"))).toThrow(/ENOTCONN|not connected/);
    await expect(fuseUnmount(served.mountpoint)).rejects.toMatchObject({ code: "BUSY" });
    closeSync(fd);
    await fuseUnmount(served.mountpoint);
    expect(served.isMounted).toBe(false);
  });

  test("the helper mounts and unmounts as well", async () => {
    await using served = await Served.start({ mount: { method: "helper" } });
    expect(await served.shell("echo hi > f; cat f")).toBe("hi");
    await fuseUnmount(served.mountpoint, { method: "helper", lazy: true });
    expect(await served.exited).toBe(0);
  });

  test("a read-only mount refuses changes, and errors name what failed", async () => {
    await using served = await Served.start({ mount: { readOnly: true } });
    await expect(served.shell("touch f")).rejects.toThrow(/Read-only/);
    await expect(fuseUnmount("/nonexistent-cfs")).rejects.toThrow(/unmount \/nonexistent-cfs: No such file/);
    await expect(fuseUnmount(tmpdir())).rejects.toBeInstanceOf(CfsError);
    await expect(fuseMount({ source: "a,b", mountpoint: served.mountpoint, method: "helper" })).rejects.toMatchObject({ code: "INVALID" });
  });

  test("a waiting caller can be killed", async () => {
    await using local = await mountHere({ validMs: 0 });
    local.vfs.delay = () => new Promise(() => undefined);
    await expect(run("timeout", ["--signal=KILL", "1", "stat", join(local.mountpoint, "x")])).rejects.toMatchObject({ signal: "SIGKILL" });
    expect(local.mounted.session.statistics()).toMatchObject({ pending: 0, interrupted: 1 });
    local.vfs.delay = null;
  });

  test("a signal that does not kill a waiting caller changes nothing; one that does ends it, also later", async () => {
    await using local = await mountHere({ validMs: 0 });
    await run("touch", [join(local.mountpoint, "x")]);
    let settle = (): void => undefined;
    const gate = new Promise<void>((resolve) => (settle = resolve));
    local.vfs.delay = () => gate;
    const children = ["x", "y"].map((name) => spawn("stat", [join(local.mountpoint, name)], { stdio: "ignore" }));
    const exits = Promise.all(children.map((child) => once(child, "exit")));
    const statistics = () => local.mounted.session.statistics();
    try {
      await expect.poll(() => statistics().pending).toBe(2);
      for (const child of children) child.kill("SIGSTOP");
      await expect.poll(() => statistics().interrupted).toBe(2);
      for (const child of children) child.kill("SIGCONT");
      expect(statistics().pending).toBe(2);
      children[1]?.kill("SIGTERM");
      await expect.poll(() => statistics().pending).toBe(1);
    } finally {
      settle();
      for (const child of children) child.kill("SIGCONT");
    }
    expect(await exits).toEqual([
      [0, null],
      [null, "SIGTERM"],
    ]);
    local.vfs.delay = null;
  });

  test("the kernel forgets what it is told to, and nothing else", async () => {
    await using local = await mountHere({ validMs: 3_600_000, keepCache: true });
    const path = join(local.mountpoint, "f");
    await run("bash", ["-ec", `echo old > ${path}; cat ${path}`]);
    const node = [...local.vfs.nodes.values()].find(({ attributes }) => attributes.kind === "file");
    node?.data.write("new");
    expect(await readFile(path, "utf8")).toBe("old\n");
    await local.mounted.session.invalidate({ kind: "inode", ino: node?.attributes.ino as InodeNumber });
    expect(await readFile(path, "utf8")).toBe("new\n");
    const { LOOKUP: before = 0 } = local.mounted.session.statistics().byOperation;
    await stat(path);
    await local.mounted.session.invalidate({ kind: "entry", parent: rootInode, name: "f" as Name });
    await stat(path);
    expect(local.mounted.session.statistics().byOperation["LOOKUP"]).toBe(before + 1);
  });

  test("another session takes the descriptor over without unmounting, and answers what was left", async () => {
    const mountpoint = mkdtempSync(join(tmpdir(), "cfs-fuse-"));
    const vfs = new TreeVfs({ validMs: 0 });
    const fd = await fuseMount({ source: "cfs", mountpoint });
    const first = new FuseSession({ vfs, device: new FuseDevice({ fd, ownsFd: false }), clock: systemClock(), logger: silentLogger });
    first.start();
    const negotiated = await first.ready;
    await run("touch", [join(mountpoint, "f")]);
    vfs.delay = () => new Promise(() => undefined);
    const waiting = stat(join(mountpoint, "f"));
    while (first.statistics().pending === 0) await setTimeout(5);
    first.close(true);
    vfs.delay = null;
    const second = new FuseSession({ vfs, device: new FuseDevice({ fd, ownsFd: false }), clock: systemClock(), logger: silentLogger });
    second.start(negotiated);
    expect((await waiting).size).toBe(0);
    await fuseUnmount(mountpoint);
    expect(await second.ended).toBe(19);
    closeSync(fd);
    rmdirSync(mountpoint);
  });

  test("a worker that ends while it serves leaves nothing behind that crashes", async () => {
    const mountpoint = mkdtempSync(join(tmpdir(), "cfs-fuse-"));
    const worker = new Worker(new URL("./abandon.ts", import.meta.url), { execArgv: ["--conditions=cfs-source"], argv: [mountpoint] });
    expect(await new Promise((resolve) => worker.once("exit", resolve))).toBe(3);
    await fuseUnmount(mountpoint);
    rmdirSync(mountpoint);
  });

  test("a device closes twice and inside its handler; a bad descriptor is an error", async () => {
    const mountpoint = mkdtempSync(join(tmpdir(), "cfs-fuse-"));
    const device = new FuseDevice({ fd: await fuseMount({ source: "cfs", mountpoint }), ownsFd: true });
    const closed = new Promise<void>((resolve) => {
      device.start({
        onBatch() {
          device.close();
          resolve();
        },
        onEnd() {},
      });
    });
    await closed;
    device.close();
    new Uint32Array(device.memory, device.layout.descriptorsOffset, 4).set([device.layout.arenaOffset, 16, 0, 0]);
    expect([device.flush(1, []), device.flush(0, [])]).toEqual([1, 0]);
    expect(await device.notify(Buffer.alloc(16))).toEqual([9]);
    expect(() => device.resume()).toThrow(/closed/);
    expect(() => new FuseDevice({ fd: 1_000_000, ownsFd: false })).toThrow(/descriptor 1000000.*Bad file descriptor/);
    await fuseUnmount(mountpoint);
    rmdirSync(mountpoint);
  });
});

async function mountHere(options: TreeVfsOptions): Promise<AsyncDisposable & { vfs: TreeVfs; mounted: FuseMount; mountpoint: string }> {
  const mountpoint = mkdtempSync(join(tmpdir(), "cfs-fuse-"));
  const vfs = new TreeVfs(options);
  const mounted = await mountFuse({ vfs, clock: systemClock(), logger: silentLogger }, { source: "cfs", mountpoint });
  return {
    vfs,
    mounted,
    mountpoint,
    async [Symbol.asyncDispose](): Promise<void> {
      await mounted.unmount({ lazy: true });
      await mounted.session.ended;
      rmdirSync(mountpoint);
    },
  };
}
