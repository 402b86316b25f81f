/**
 * Entry point of the worker process: takes its configuration by one message, serves until the mount is gone.
 *
 * SIGTERM and SIGINT unmount: what runs is finished, what was written is brought to the server, then the process ends.
 */
import { fuseUnmount } from "@cfs/native";
import { failureMessage, startWorker } from "./worker.ts";
import type { Worker, WorkerConfig } from "./worker.ts";

let mountpoint: string | null = null;
let worker: Worker | null = null;

function log(line: string): void {
  process.stderr.write(line);
}

async function unmount(): Promise<void> {
  if (mountpoint === null) process.exit(0);
  try {
    await fuseUnmount(mountpoint, { lazy: true });
  } catch (reason) {
    log(`${JSON.stringify({ level: "error", message: "unmounting failed", reason: String(reason) })}\n`);
    worker?.close();
  }
}

for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void unmount());
process.on("SIGHUP", () => undefined);

process.once("message", (config: WorkerConfig) => {
  void (async () => {
    try {
      mountpoint = config.mountpoint;
      worker = await startWorker(config, log);
      process.send?.({ type: "ready" });
    } catch (reason) {
      process.send?.(failureMessage(reason), () => process.exit(1));
      return;
    }
    await worker.ended;
    process.exit(0);
  })();
});
