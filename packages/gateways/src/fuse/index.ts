/** FUSE: a Vfs as a mounted file system of this machine. */
export type { Device, DeviceHandlers, DeviceLayout } from "./device.ts";
export { fuseErrnoByCode } from "./errno.ts";
export type { Negotiated } from "./init.ts";
export { mountFuse } from "./mount.ts";
export type { FuseMount, MountOptions, MountParts } from "./mount.ts";
export type { Presented } from "./encode.ts";
export type { SessionOptions } from "./options.ts";
export { FuseSession } from "./session.ts";
export type { SessionParts, SessionStatistics } from "./session.ts";
export { setReadAhead } from "./readahead.ts";
