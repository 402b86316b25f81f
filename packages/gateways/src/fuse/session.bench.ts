/**
 * What the session costs on a real mount of files in memory. Needs root, /dev/fuse and a C compiler.
 *
 * Use: node --conditions=cfs-source packages/gateways/src/fuse/session.bench.ts [SECONDS]. Prints one line per step. The load is a C
 * program, so that JavaScript's time is the server's alone; the server runs in a process of its own (testing/serve-bench.ts).
 */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const seconds = Number(process.argv[2] ?? "3");
const serveOptions = process.argv[3] ?? "{}";
const work = mkdtempSync(join(tmpdir(), "cfs-fuse-bench-"));
const mountpoint = mkdtempSync(join(tmpdir(), "cfs-fuse-mount-"));
const load = join(work, "load");
const clockTicksPerSecond = 100;

async function cpuSeconds(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / clockTicksPerSecond;
}

await run("cc", ["-O2", "-pthread", "-o", load, fileURLToPath(new URL("./testing/load.c", import.meta.url))]);
const script = fileURLToPath(new URL("./testing/serve-bench.ts", import.meta.url));
const server = spawn(process.execPath, ["--conditions=cfs-source", script, mountpoint, serveOptions], {
  stdio: ["ignore", "pipe", "inherit"],
});
await once(server.stdout, "data");
try {
  for (const [step, workers] of [
    ["fill", 1],
    ["randread", 1],
    ["randread", 4],
    ["randread", 16],
    ["stat", 1],
    ["stat", 4],
    ["create", 1],
    ["create", 4],
    ["writedirect", 1],
    ["readdirect", 1],
    ["writebuffered", 1],
    ["readcold", 1],
  ] as const) {
    if (step === "readcold") await run("bash", ["-c", "echo 1 > /proc/sys/vm/drop_caches"]);
    const before = await cpuSeconds(server.pid ?? 0);
    const { stdout } = await run(load, [step, mountpoint, String(workers), String(seconds)]);
    const [count = 0, elapsed = 1, bytes = 0] = stdout.split(" ").map(Number);
    const cpu = (await cpuSeconds(server.pid ?? 0)) - before;
    const rate = bytes > 0 ? `${(bytes / elapsed / 2 ** 30).toFixed(2)} GiB/s` : `${Math.round(count / elapsed).toLocaleString("en")}/s`;
    console.log(`${step.padEnd(14)} ${workers} workers  ${rate.padStart(14)}  server CPU ${((cpu / count) * 1e6).toFixed(1)} µs per call`);
  }
} finally {
  server.kill("SIGTERM");
  await once(server, "exit");
  rmSync(work, { recursive: true });
  rmSync(mountpoint, { recursive: true });
}
