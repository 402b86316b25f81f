/**
 * A process of its own that serves a small file system at the directory given, for tests that mount, crash and measure.
 *
 * Use: node --conditions=cfs-source test/fuse/serve.ts MOUNTPOINT [JSON options]. Prints "mounted" when it serves; SIGTERM unmounts.
 */
import { silentLogger, systemClock } from "@cfs/core";
import { mountFuse, type MountOptions } from "@cfs/gateways/fuse";
import { TreeVfs, type TreeVfsOptions } from "@cfs/gateways/fuse/testing";

interface ServeOptions {
  readonly mount?: Partial<MountOptions>;
  readonly vfs?: TreeVfsOptions;
  /** Answer every request in a later turn of the event loop. */
  readonly isAsync?: boolean;
}

const [mountpoint, json = "{}"] = process.argv.slice(2);
if (mountpoint === undefined) throw new Error("usage: serve.ts MOUNTPOINT [JSON options]");
const options = JSON.parse(json) as ServeOptions;
const delay = options.isAsync === true ? (): Promise<void> => new Promise((resolve) => setImmediate(resolve)) : null;
const vfs = new TreeVfs({ ...options.vfs, delay });
const mounted = await mountFuse(
  { vfs, clock: systemClock(), logger: { ...silentLogger, error: console.error } },
  { ...options.mount, source: "cfs-test", mountpoint },
);
process.once("SIGTERM", () => {
  mounted.unmount({ lazy: true }).catch(console.error);
});
console.log("mounted");
await mounted.session.ended;
