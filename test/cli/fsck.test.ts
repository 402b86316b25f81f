/** `cfs fsck` on a state that was broken on purpose behind the server's back: told, mended with --repair, and clean afterwards. Needs root and /dev/fuse. */
import { readFileSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { silentLogger, systemClock } from "@cfs/core";
import { decodeInode, encodeInode } from "@cfs/metadata";
import { crc32c } from "@cfs/native";
import { MirroredKv } from "@cfs/storage";
import { Cluster, whyNoMounts } from "@cfs/testkit";
import { expect, test } from "vitest";

const reason = whyNoMounts();
if (reason !== null) console.warn(`test/cli/fsck.test.ts is skipped: ${reason}`);

/** Opens the state of a stopped server on all drives that hold it. */
async function withState(cluster: Cluster, change: (kv: MirroredKv) => Promise<void>): Promise<void> {
  const { nodeId } = JSON.parse(readFileSync(join(cluster.drives[0]?.path ?? "", "identity.json"), "utf8")) as { nodeId: string };
  const directories: string[] = [];
  for (const { path } of cluster.drives) if ((await readdir(join(path, "state"))).includes("kv")) directories.push(join(path, "state/kv"));
  const kv = await MirroredKv.open(
    { crc32c, clock: systemClock(), log: silentLogger },
    directories,
    { onMemberFailed: (directory) => expect.unreachable(directory), onResync: () => undefined },
    { storeId: nodeId },
  );
  await change(kv);
  await kv.flush({ sync: true });
  await kv.close();
}

async function direntKey(kv: MirroredKv, name: string): Promise<string> {
  const entries = await kv.scan({ begin: "D", end: "E", limit: 1000 });
  return entries.find(({ key }) => key.slice(17) === name)?.key ?? expect.unreachable(`no entry ${name}`);
}

/** The number of the inode that an entry names: the eight bytes before the sort of its key are its parent's, so it is looked up by the file's size. */
async function inodeBySize(kv: MirroredKv, sizeBytes: number): Promise<{ key: string; inode: ReturnType<typeof decodeInode> }> {
  for (const { key, value } of await kv.scan({ begin: "I", end: "J", limit: 1000 })) {
    const inode = decodeInode(value);
    if (inode.kind === "file" && inode.sizeBytes === sizeBytes) return { key, inode };
  }
  return expect.unreachable(`no file of ${sizeBytes} bytes`);
}

test.skipIf(reason !== null)(
  "wrong sums, counts and lost names are told and mended; an entry that leads nowhere is told by its path",
  async () => {
    await using cluster = await Cluster.start();
    const mount = await cluster.mount();
    await mkdir(join(mount.path, "dir"));
    await writeFile(join(mount.path, "dir/counted"), Buffer.alloc(1001, 1));
    await writeFile(join(mount.path, "lost"), Buffer.alloc(200_002, 2));
    await writeFile(join(mount.path, "dir/gone"), Buffer.alloc(1003, 3));
    await mount.umount();
    expect(await cluster.cfs(["fsck", "--server", cluster.address])).toMatchObject({ code: 0, stderr: "" });
    await cluster.stopServer();

    let lost = 0;
    await withState(cluster, async (kv) => {
      const usage = Buffer.from(kv.get("U") ?? []);
      usage.writeUInt8(usage.readUInt8(1) + 3, 1);
      const counted = await inodeBySize(kv, 1001);
      const gone = await inodeBySize(kv, 1003);
      lost = (await inodeBySize(kv, 200_002)).inode.ino;
      kv.write([
        { key: "U", value: usage },
        { key: counted.key, value: encodeInode({ ...counted.inode, nlink: 4, allocatedBytes: 5 }) },
        { key: await direntKey(kv, "lost"), value: null },
        { key: gone.key, value: null },
      ]);
    });

    await cluster.startServer();
    const found = await cluster.cfs(["fsck", "--server", cluster.address]);
    expect(found.code).toBe(3);
    expect(found.stdout).toMatch(/\(\/dir\/counted\): counts 4 links and has 1 names/);
    expect(found.stdout).toMatch(/directory \d+ \(\/dir\): the entry "gone" leads to inode \d+, which does not exist/);
    const repaired = await cluster.cfs(["fsck", "--repair", "--server", cluster.address]);
    expect(repaired.stdout).toMatch(/\d+ problems, \d+ repaired/);
    const left = await cluster.cfs(["fsck", "--server", cluster.address]);
    expect(left.stdout.match(/^! .*/gm)).toEqual([expect.stringMatching(/the entry "gone" leads to inode/)]);

    const again = await cluster.mount();
    expect((await readFile(join(again.path, `lost+found-${lost}`))).equals(Buffer.alloc(200_002, 2))).toBe(true);
    expect((await readFile(join(again.path, "dir/counted"))).equals(Buffer.alloc(1001, 1))).toBe(true);
    await again.umount();
  },
);
