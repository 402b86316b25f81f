/** A mount that stood still for longer than its lease goes on under a new session. Needs root and /dev/fuse. */
import { mkdir, open, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { withCluster } from "@cfs/testkit";
import { describe, expect, test } from "vitest";
import { replayCommand, whySkipped } from "../settings.ts";

const reason = whySkipped("a session that is lost");
/** After a restart the server waits this long for a client to come back (session-service.ts: three times the lease), and a little more. */
const longerThanLeaseMs = 11_000;

describe.skipIf(reason !== null)("a mount that stood still for longer than its lease", () => {
  test("goes on with what was synced", { timeout: 120_000 }, async () => {
    await withCluster({ replay: replayCommand("test/crash/lost-session.test.ts") }, async (cluster) => {
      const mount = await cluster.mount();
      await mkdir(join(mount.path, "d"));
      const synced = await open(join(mount.path, "d", "synced"), "w");
      await synced.write("kept");
      await synced.sync();
      // The kernel learns at the first close that FLUSH is not needed; a process could not start another one now otherwise (docs/internals/fuse.md).
      await writeFile(join(mount.path, "d", "closed"), "x");
      await cluster.kill9Server();
      mount.signal("SIGSTOP");
      try {
        await cluster.startServer();
        await setTimeout(longerThanLeaseMs);
      } finally {
        mount.signal("SIGCONT");
      }
      // What is answered before the mount learns of the loss is lost with the session; from here on nothing is.
      await expect
        .poll(() => readFile(mount.logPath, "utf8"), { timeout: 30_000 })
        .toMatch(/the session is lost.*\n(.*\n)*.*the server is back/);
      expect(await readFile(join(mount.path, "d", "synced"), "utf8")).toBe("kept");
      await writeFile(join(mount.path, "d", "new"), "written after");
      // Times of the file that were still on their way are gone: fsync or close of a file that was open says so, as they must.
      await synced.sync().catch(mustBeEio);
      await synced.close().catch(mustBeEio);
      const again = await open(join(mount.path, "d", "synced"), "r+");
      await again.write(", and more", 4);
      await again.sync();
      await again.close();
      await mount.umount();
      const second = await cluster.mount({ name: "again" });
      expect(await readdir(join(second.path, "d"))).toEqual(expect.arrayContaining(["new", "synced"]));
      expect(await readFile(join(second.path, "d", "new"), "utf8")).toBe("written after");
      expect(await readFile(join(second.path, "d", "synced"), "utf8")).toBe("kept, and more");
      await second.umount();
    });
  });
});

function mustBeEio(reason: unknown): void {
  expect((reason as NodeJS.ErrnoException).code).toBe("EIO");
}
