/** The server stands still, or dies and comes back, under fio with verification: fio sees no error and no wrong byte. Needs root, /dev/fuse and fio. */
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { type Cluster, withCluster } from "@cfs/testkit";
import { describe, expect, test } from "vitest";
import { hasProgram, replayCommand, whySkipped } from "../settings.ts";

const reason = whySkipped("a server that pauses") ?? (hasProgram("fio") ? null : "no fio");
if (reason === "no fio") console.warn("a server that pauses is not tested: no fio");

interface FioReport {
  readonly jobs: readonly {
    readonly error: number;
    readonly write: { readonly io_bytes: number };
    readonly read: { readonly io_bytes: number };
  }[];
}

const pauseMs = 3_000;
const sizeMiB = 96;
/** Slow enough that the faults happen while it writes. */
const rateMiB = 10;
const fioTimeoutMs = 240_000;

/** Writes, with an fsync now and then, and reads everything back. */
function fioArguments(directory: string, flags: readonly string[]): string[] {
  const common = [
    "--name=verify",
    `--directory=${directory}`,
    `--size=${sizeMiB}m`,
    "--rw=randwrite",
    "--ioengine=psync",
    "--output-format=json",
  ];
  const verify = ["--verify=crc32c", "--do_verify=1", "--verify_fatal=1", "--verify_dump=0", "--verify_state_save=0"];
  return [...common, ...verify, `--rate=,${rateMiB}m`, ...flags];
}

async function restart(cluster: Cluster): Promise<void> {
  await cluster.kill9Server();
  await setTimeout(500);
  await cluster.startServer();
}

const jobs: readonly (readonly [name: string, flags: readonly string[]])[] = [
  ["buffered, 4 KiB to 256 KiB, fsync after 64", ["--bsrange=4k-256k", "--fsync=64"]],
  ["O_DIRECT, 64 KiB", ["--bs=64k", "--direct=1"]],
];

describe.skipIf(reason !== null)("a pause of 3 s and a restart", () => {
  test.each(jobs)("under fio %s", { timeout: fioTimeoutMs + 120_000 }, async (_name, flags) => {
    await withCluster({ replay: replayCommand("test/crash/pause.test.ts") }, async (cluster) => {
      const mount = await cluster.mount();
      let isRunning = true;
      const fio = cluster.run("fio", fioArguments(mount.path, flags), fioTimeoutMs).finally(() => {
        isRunning = false;
      });
      await setTimeout(1_500);
      await cluster.pauseServer(pauseMs);
      await setTimeout(500);
      await restart(cluster);
      await setTimeout(500);
      await cluster.pauseServer(pauseMs / 3);
      expect(isRunning).toBe(true);
      const { code, stdout, stderr } = await fio;
      expect(`${code} ${stderr}`).toBe("0 ");
      const [job] = (JSON.parse(stdout.slice(stdout.indexOf("{"))) as FioReport).jobs;
      expect(job?.error).toBe(0);
      expect(job?.write.io_bytes).toBe(sizeMiB << 20);
      expect(job?.read.io_bytes).toBe(sizeMiB << 20);
      await cluster.cfsMust(["umount", join(mount.path)]);
    });
  });
});
