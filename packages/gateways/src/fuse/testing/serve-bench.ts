/** The server of session.bench.ts: files in memory at the mountpoint given. Prints "mounted"; SIGTERM unmounts and prints counts with CFS_BENCH_COUNTS. */
import { silentLogger, systemClock } from "@cfs/core";
import { mountFuse, type MountOptions } from "../mount.ts";
import { TreeVfs, type TreeVfsOptions } from "./tree-vfs.ts";

const [mountpoint = "", json = "{}"] = process.argv.slice(2);
const options = JSON.parse(json) as { readonly mount?: Partial<MountOptions>; readonly vfs?: TreeVfsOptions };
const vfs = new TreeVfs({ validMs: 0, keepCache: true, ...options.vfs });
const mounted = await mountFuse(
  { vfs, clock: systemClock(), logger: { ...silentLogger, error: console.error } },
  { ...options.mount, source: "cfs-bench", mountpoint },
);
process.once("SIGTERM", () => {
  mounted.unmount({ lazy: true }).catch(console.error);
});
console.log("mounted");
await mounted.session.ended;
if (process.env["CFS_BENCH_COUNTS"] !== undefined) console.error(mounted.session.statistics());
