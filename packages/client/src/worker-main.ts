/**
 * Entry point of the worker process: takes its configuration by one message, serves until the mount is gone.
 *
 * SIGTERM and SIGINT unmount: what runs is finished, what was written is brought to the server, then the process ends.
 */
import { flushCompileCache } from "node:module";
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

async function serve(config: WorkerConfig): Promise<void> {
  try {
    mountpoint = config.mountpoint;
    worker = await startWorker(config, log);
    process.send?.({ type: "ready" });
    // For the next mount: this process may be killed at any moment.
    flushCompileCache();
  } catch (reason) {
    process.send?.(failureMessage(reason), () => process.exit(1));
    return;
  }
  await worker.ended;
  process.exit(0);
}

/** What nobody expected ends the process: the kernel then fails what waits, and the log says why. */
function crash(reason: unknown): void {
  log(
    `${JSON.stringify({ level: "error", message: "the worker failed", reason: reason instanceof Error ? (reason.stack ?? reason.message) : String(reason) })}\n`,
  );
  process.exit(1);
}

for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void unmount().catch(crash));
process.on("SIGHUP", () => undefined);
process.once("message", (config: WorkerConfig) => void serve(config).catch(crash));
