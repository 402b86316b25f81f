/**
 * Ends a process in a given manner while requests are in flight; run by ring-io.test.ts.
 * Arguments: manner (idle: just stop using it; exit: process.exit; worker: end a worker thread; describe: print what carries
 * the requests), engine, path.
 */
import { Worker } from "node:worker_threads";

import { openDurable, RingIo } from "@cfs/storage";
import type { RingIoOptions } from "@cfs/storage";

const [manner, engine, path] = process.argv.slice(2) as [string, NonNullable<RingIoOptions["engine"]>, string];

async function start(): Promise<Promise<void>[]> {
  const io = await RingIo.open({ engine, poolBytes: 8 << 20, slots: 8 });
  const file = await io.open(path, { ...openDurable, create: true });
  const buffer = io.pool.takeZeroed(1 << 20);
  return Array.from({ length: 32 }, (_, index) => io.write(file, [buffer], index << 20));
}

if (manner === "worker") {
  const source = `process.argv.splice(2, 3, "in-worker", ${JSON.stringify(engine)}, ${JSON.stringify(path)}); import(${JSON.stringify(import.meta.url)});`;
  const worker = new Worker(source, { eval: true, execArgv: ["--conditions=cfs-source"] });
  await new Promise((resolve) => worker.once("message", resolve));
  await worker.terminate();
  console.log("done");
} else if (manner === "in-worker") {
  const { parentPort } = await import("node:worker_threads");
  const writes = await start();
  setImmediate(() => parentPort?.postMessage("in flight"));
  await Promise.all(writes);
} else if (manner === "describe") {
  const io = await RingIo.open({ engine, poolBytes: 8 << 20 });
  const file = await io.open(path, { ...openDurable, create: true });
  for (let round = 0; round < 50; round++) await io.write(file, [io.pool.takeZeroed(4096)], 0);
  console.log(`${io.kind}: ${io.description}`);
  await io.shutDown();
} else {
  const writes = await start();
  if (manner === "exit") {
    setImmediate(() => {
      console.log("done");
      process.exit(0);
    });
  } else {
    await Promise.all(writes); // Nothing is in flight and nothing was shut down: the loop must end by itself.
    console.log("done");
  }
}
