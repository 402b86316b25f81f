/** A worker that mounts at its argument, serves, and exits with code 3 in the middle of it: for session.test.ts. */
import { stat } from "node:fs/promises";
import { silentLogger, systemClock } from "@cfs/core";
import { FuseSession } from "@cfs/gateways/fuse";
import { TreeVfs } from "@cfs/gateways/fuse/testing";
import { FuseDevice, fuseMount } from "@cfs/native";

const mountpoint = process.argv[2] ?? "";
const device = new FuseDevice({ fd: await fuseMount({ source: "cfs", mountpoint }), ownsFd: true });
const vfs = new TreeVfs({ validMs: 0 });
const session = new FuseSession({ vfs, device, clock: systemClock(), logger: silentLogger });
session.start();
await session.ready;
await stat(mountpoint);
// From inside the handler of a request: the poll is active and the request unanswered.
vfs.getAttributes = () => process.exit(3);
await stat(mountpoint);
